import { pause } from '@sc/shared/pause.ts'
import { isDatabaseAway } from '../database/connect.ts'
import type { Database } from '../database/schema.ts'
import { OPEN_JOB } from '../database/schema.ts'
import type { TranscriptSegment } from '../transcription/merge.ts'
import { type DescribeDeps, describeJob, type JobDescription } from './describe.ts'
import type { JobFeed } from './feed.ts'
import { type LogLine, readLogs } from './logs.ts'
import { newSegments, type SegmentPlace } from './new-segments.ts'
import { watchJob } from './watch-job.ts'

/**
 * What happens to a job, as a stream. Nothing of it is stored: each look at PostgreSQL is compared with what was already
 * said, so a stream may begin at any master and at any time, and a finished job tells its whole story again.
 *
 *   status (at once, then when it changes)  segment …  log …  progress  status  segment …  result  done, the end
 *
 * Segments (of a transcription) come in order of time: those of a chunk when all chunks before it have ended. The id of a
 * segment or of a line of the log says where a stream that broke goes on; the other events have none and are said anew.
 */
export type JobEvent =
  | { event: 'status'; data: JobDescription }
  | { event: 'progress'; data: JobProgress }
  | { event: 'segment'; id: string; data: TranscriptSegment }
  | { event: 'log'; id: string; data: LogLine }
  /** When it is small enough to be in the job's row. */
  | { event: 'result'; data: { jobId: string; output: unknown } }
  | { event: 'done'; data: Pick<JobDescription, 'jobId' | 'status' | 'error'> }
  /** Nothing was said for a while: keeps the connection open. */
  | { event: null }

export type JobProgress = Pick<JobDescription, 'progress' | 'units' | 'chunks' | 'etaSeconds'> & {
  /** What the unit of that index has to show so far, which may still change. */
  partial?: { index: number; value: unknown } | undefined
}

export interface EventDeps extends DescribeDeps {
  feed: JobFeed
}

/** A look takes milliseconds; when it takes long, because many streams look, each looks less often. */
const PAUSE_PER_LOOK = 20
const SHORTEST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1_000
/** A notification may be lost with its connection. */
const LOOK_AT_LEAST_EVERY_MS = 2_000
const KEEP_ALIVE_MS = 15_000

/** Lines of the log that are read at once. */
const LOG_PAGE = 200

/** Where the stream is: the next segment, and the id of the last line of the log. */
interface Cursor extends SegmentPlace {
  log: string
}

export interface Listener {
  /** The id of the last event that was heard before the connection broke. */
  lastEventId: string | undefined
  /** Whether lines of the log are told, too. */
  withLogs: boolean
}

/** Ends after `done`, when the job is gone, or when `signal` fires. */
export async function* jobEvents(
  deps: EventDeps,
  jobId: string,
  { lastEventId, withLogs }: Listener,
  signal: AbortSignal
): AsyncGenerator<JobEvent> {
  const cursor = parseCursor(lastEventId)
  const changes = watchJob(deps.feed, jobId)
  const said = { status: '', progress: '', atMs: performance.now() }
  try {
    while (!signal.aborted) {
      changes.reset()
      const lookedMs = performance.now()
      try {
        for await (const event of look(deps, jobId, { cursor, said, withLogs })) {
          yield event
          said.atMs = performance.now()
          if (event.event === 'done') return
        }
      } catch (error) {
        // The stream outlives an outage: who listens would not come back after an error.
        if (!isDatabaseAway(error)) throw error
      }
      if (performance.now() - said.atMs > KEEP_ALIVE_MS) {
        yield { event: null }
        said.atMs = performance.now()
      }
      const pauseMs = PAUSE_PER_LOOK * (performance.now() - lookedMs)
      await pause(Math.min(Math.max(pauseMs, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS), signal)
      await changes.next(LOOK_AT_LEAST_EVERY_MS, signal)
    }
  } finally {
    changes.release()
  }
}

interface Told {
  cursor: Cursor
  said: { status: string; progress: string }
  withLogs: boolean
}

/** What is new since the last look. */
async function* look(deps: EventDeps, jobId: string, told: Told): AsyncGenerator<JobEvent> {
  const { cursor, said, withLogs } = told
  // Before the segments: when it has ended, every unit has.
  const job = await describeJob(deps, jobId)
  if (!job) return
  const status = JSON.stringify([job.status, job.waitingFor])
  if (status !== said.status) yield { event: 'status', data: job }
  said.status = status
  if (job.task === 'transcribe') {
    for await (const data of newSegments(deps.db, jobId, cursor))
      yield { event: 'segment', id: formatCursor(cursor, withLogs), data }
  }
  if (withLogs) yield* newLogs(deps.db, jobId, cursor)
  const { progress, units, chunks, etaSeconds, error } = job
  const partial = units.running > 0 ? await readPartial(deps.db, jobId) : undefined
  const key = JSON.stringify([progress, units, partial])
  if (key !== said.progress) yield { event: 'progress', data: { progress, units, chunks, etaSeconds, partial } }
  said.progress = key
  if (OPEN_JOB.includes(job.status)) return
  const output = job.status === 'COMPLETED' ? await readSmallOutput(deps.db, jobId) : undefined
  if (output !== undefined) yield { event: 'result', data: { jobId, output } }
  yield { event: 'done', data: { jobId, status: job.status, error } }
}

async function* newLogs(db: Database, jobId: string, cursor: Cursor): AsyncGenerator<JobEvent> {
  for (;;) {
    const lines = await readLogs(db, jobId, { after: cursor.log, level: 'debug', limit: LOG_PAGE })
    for (const { id, line } of lines) {
      cursor.log = id
      yield { event: 'log', id: formatCursor(cursor, true), data: line }
    }
    if (lines.length < LOG_PAGE) return
  }
}

/** Undefined: it is elsewhere. */
async function readSmallOutput(db: Database, jobId: string): Promise<unknown> {
  const row = await db
    .selectFrom('jobs')
    .select('output')
    .where('id', '=', jobId)
    .where('task', '<>', 'transcribe')
    .where('output_ref', 'is', null)
    .executeTakeFirst()
  return row?.output
}

/** What a unit that runs has to show so far: of several, the first. */
async function readPartial(db: Database, jobId: string): Promise<JobProgress['partial']> {
  const unit = await db
    .selectFrom('units')
    .select(['index', 'partial as value'])
    .where('job_id', '=', jobId)
    .where('status', '=', 'RUNNING')
    .where('partial', 'is not', null)
    .orderBy('index')
    .executeTakeFirst()
  return unit
}

/** `<chunk>.<segment>` of the last segment; with logs `<chunk>.<next segment>.<line>`, since either may come next. */
function formatCursor({ chunk, segment, log }: Cursor, withLogs: boolean): string {
  return withLogs ? `${chunk}.${segment}.${log}` : `${chunk}.${segment - 1}`
}

/** The beginning for anything that is no id of ours. */
function parseCursor(lastEventId: string | undefined): Cursor {
  const [, chunk, segment, log] = /^(\d{1,9})\.(\d{1,9})(?:\.(\d{1,18}))?$/.exec(lastEventId ?? '') ?? []
  if (!chunk || !segment) return { chunk: 0, segment: 0, log: '0' }
  return { chunk: Number(chunk), segment: Number(segment) + (log ? 0 : 1), log: log ?? '0' }
}
