import { pause } from '@sc/shared/pause.ts'
import { isDatabaseAway } from '../database/connect.ts'
import type { Database, UnitRow } from '../database/schema.ts'
import { OPEN_JOB } from '../database/schema.ts'
import { toChunkResult } from '../transcription/job.ts'
import { segmentsOfChunk, type TranscriptSegment } from '../transcription/merge.ts'
import { type DescribeDeps, describeJob, type JobDescription } from './describe.ts'
import type { JobFeed } from './feed.ts'

/**
 * What happens to a transcription, as a stream. Nothing of it is stored: each look at PostgreSQL is compared with what
 * was already said, so a stream may begin at any master and at any time, and a finished job tells its whole story again.
 *
 *   status (at once, then when it changes)  segment …  progress  status  segment …  done, the end
 *
 * Segments come in order of time: those of a chunk when all chunks before it have ended. The id of a segment says where
 * a stream that broke goes on; the other events have none and are said anew.
 */
export type JobEvent =
  | { event: 'status'; data: JobDescription }
  | { event: 'progress'; data: JobProgress }
  | { event: 'segment'; id: string; data: TranscriptSegment }
  | { event: 'done'; data: Pick<JobDescription, 'jobId' | 'status' | 'error'> }
  /** Nothing was said for a while: keeps the connection open. */
  | { event: null }

export type JobProgress = Pick<JobDescription, 'progress' | 'chunks' | 'etaSeconds'> & {
  /** Text of a chunk that is being decoded, which may still change. */
  partial?: { chunk: number; text: string }
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

/** Where the next segment is: `segment` counts those of `chunk` that were sent. */
interface Cursor {
  chunk: number
  segment: number
}

/** Ends after `done`, when the job is gone, or when `signal` fires. */
export async function* jobEvents(
  deps: EventDeps,
  jobId: string,
  lastEventId: string | undefined,
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
        for await (const event of look(deps, jobId, cursor, said)) {
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

/** What is new since the last look. */
async function* look(
  deps: EventDeps,
  jobId: string,
  cursor: Cursor,
  said: { status: string; progress: string }
): AsyncGenerator<JobEvent> {
  // Before the segments: when it has ended, every unit has.
  const job = await describeJob(deps, jobId)
  if (!job) return
  const status = JSON.stringify([job.status, job.waitingFor])
  if (status !== said.status) yield { event: 'status', data: job }
  said.status = status
  yield* newSegments(deps.db, jobId, cursor)
  const { progress, chunks, etaSeconds, error } = job
  const partial = job.chunks.running > 0 ? await partialText(deps.db, jobId) : undefined
  const data: JobProgress = { progress, chunks, etaSeconds, ...(partial && { partial }) }
  const key = JSON.stringify([progress, chunks, partial])
  if (key !== said.progress) yield { event: 'progress', data }
  said.progress = key
  if (!OPEN_JOB.includes(job.status)) yield { event: 'done', data: { jobId, status: job.status, error } }
}

/** Of every chunk before which none is open; one chunk's output in memory at a time. */
async function* newSegments(db: Database, jobId: string, cursor: Cursor): AsyncGenerator<JobEvent> {
  const job = await db.selectFrom('jobs').select('input').where('id', '=', jobId).executeTakeFirst()
  const withWords = job?.input.word_timestamps !== false
  for (;;) {
    const unit = await chunkOf(db, jobId, cursor.chunk)
    if (!unit || unit.status === 'QUEUED' || unit.status === 'RUNNING') return
    const segments = unit.status === 'DONE' ? segmentsOfChunk(toChunkResult(unit)) : []
    for (const segment of segments.slice(cursor.segment)) {
      cursor.segment += 1
      const data = withWords ? segment : { ...segment, words: [] }
      yield { event: 'segment', id: `${unit.index}.${cursor.segment - 1}`, data }
    }
    cursor.chunk += 1
    cursor.segment = 0
  }
}

async function chunkOf(db: Database, jobId: string, index: number): Promise<UnitRow | undefined> {
  return await db
    .selectFrom('units')
    .selectAll()
    .where('job_id', '=', jobId)
    .where('task', '=', 'transcribe.chunk')
    .where('index', '=', index)
    .executeTakeFirst()
}

async function partialText(db: Database, jobId: string): Promise<JobProgress['partial']> {
  const unit = await db
    .selectFrom('units')
    .select(['index', 'partial'])
    .where('job_id', '=', jobId)
    .where('status', '=', 'RUNNING')
    .where('partial', 'is not', null)
    .orderBy('index')
    .executeTakeFirst()
  const text = readText(unit?.partial)
  return unit && text ? { chunk: unit.index, text } : undefined
}

function readText(partial: unknown): string {
  if (typeof partial === 'string') return partial
  const text = typeof partial === 'object' && partial !== null && 'text' in partial ? partial.text : ''
  return typeof text === 'string' ? text : ''
}

/** The place after the segment `"<chunk>.<segment>"`; the beginning for anything else. */
function parseCursor(lastEventId: string | undefined): Cursor {
  const [, chunk, segment] = /^(\d{1,9})\.(\d{1,9})$/.exec(lastEventId ?? '') ?? []
  return chunk && segment ? { chunk: Number(chunk), segment: Number(segment) + 1 } : { chunk: 0, segment: 0 }
}

/** Notices changes also between two waits. */
function watchJob(feed: JobFeed, jobId: string) {
  let change = Promise.withResolvers<void>()
  const release = feed.onChange(jobId, () => change.resolve())
  return {
    release,
    reset: () => {
      change = Promise.withResolvers()
    },
    next: async (timeoutMs: number, signal: AbortSignal): Promise<void> => {
      const waited = new AbortController()
      await Promise.race([change.promise, pause(timeoutMs, AbortSignal.any([signal, waited.signal]))])
      waited.abort()
    }
  }
}
