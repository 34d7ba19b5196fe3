import { parseQueue } from '@sc/shared/capability.ts'
import { type ErrorReport, reportOf } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { WorkerRow } from '../cluster/presence.ts'
import type { RegisteredTask, TaskRegistry } from '../cluster/task-registry.ts'
import { type Database, type Gap, type JobStatus, OPEN_JOB } from '../database/schema.ts'
import { isOf, type Owner } from './owner.ts'
import { etaSecondsOf, type JobFigures, progressOf, type UnitCounts } from './progress.ts'
import { isAfter, type JobFigureRow, type JobPlace, readJobs } from './select-jobs.ts'
import { readTaskTimes, type TaskTimes, taskEtaSeconds } from './task-times.ts'
import { type QueuedUnit, waitingForOf } from './waiting-for.ts'
import { isTouchedBy } from './worker-jobs.ts'

/** What the API says of a job. */
export interface JobDescription {
  jobId: string
  task: string
  status: JobStatus
  progress: number
  /**
   * What goes before a PENDING one: jobs while it is not planned, units of its queue after that (counted up to 200 of a
   * higher and 200 of the same priority); else null.
   */
  queuePosition: number | null
  etaSeconds: number | null
  waitingFor: string | null
  units: UnitCounts
  chunks: UnitCounts
  model: string | null
  language: string | null
  durationSeconds: number | null
  createdAt: string
  startedAt: string | null
  finishedAt: string | null
  error: ErrorReport | null
  gaps: Gap[]
}

export interface DescribeDeps {
  db: Database
  presence: { workers(): WorkerRow[] }
  tasks: Pick<TaskRegistry, 'find'>
}

export interface JobFilter {
  status?: JobStatus | undefined
  task?: string | undefined
  /** Only those that stand on what this worker answered. */
  touchedBy?: string | undefined
  /** Only jobs after this one, newest first. */
  after?: JobPlace | undefined
  owner: Owner
  limit: number
}

/** Null: there is no such job. */
export async function describeJob(deps: DescribeDeps, jobId: string): Promise<JobDescription | null> {
  const rows = await readJobs(deps.db, query => query.where('jobs.id', '=', jobId))
  return (await describeRows(deps, rows))[0] ?? null
}

/** Newest first. The cursor of the next page is that of the last row. */
export async function listJobs(
  deps: DescribeDeps,
  filter: JobFilter
): Promise<{ items: JobDescription[]; next: JobPlace | undefined }> {
  const { owner, status, task, touchedBy, after, limit } = filter
  const rows = await readJobs(deps.db, all => {
    let query = all
      .where(isOf(owner))
      .orderBy('jobs.created_at', 'desc')
      .orderBy('jobs.id', 'desc')
      .limit(limit + 1)
    if (status) query = query.where('jobs.status', '=', status)
    if (task) query = query.where('jobs.task', '=', task)
    if (touchedBy) query = query.where(isTouchedBy(touchedBy))
    return after ? query.where(isAfter(after)) : query
  })
  const page = rows.slice(0, limit)
  const last = rows.length > limit ? page.at(-1) : undefined
  return { items: await describeRows(deps, page), next: last && { createdUs: last.created_us, id: last.id } }
}

async function describeRows(deps: DescribeDeps, rows: JobFigureRow[]): Promise<JobDescription[]> {
  const open = rows.filter(({ single, status }) => single && OPEN_JOB.includes(status))
  const times = await readTaskTimes(deps.db, [...new Set(open.map(({ task }) => task))])
  const workers = deps.presence.workers()
  const asked = await tasksWithoutWorker(deps.tasks, rows, workers)
  const described = rows.map(row => describe(row, workers, times.get(row.task), asked))
  await keepProgress(deps.db, rows, described)
  return described
}

/** The tasks of queued units that no known worker can run. */
async function tasksWithoutWorker(
  tasks: DescribeDeps['tasks'],
  rows: JobFigureRow[],
  workers: WorkerRow[]
): Promise<Map<string, RegisteredTask>> {
  const names = new Set(rows.flatMap(({ next_queue }) => (next_queue && parseQueue(next_queue).feature) ?? []))
  const unknown = [...names].filter(name => !workers.some(worker => worker.tasks.includes(name)))
  const found = await Promise.all(unknown.map(async name => (await tasks.find(name)) ?? []))
  return new Map(found.flat().map(task => [task.name, task]))
}

function describe(
  row: JobFigureRow,
  workers: WorkerRow[],
  times: TaskTimes | undefined,
  asked: ReadonlyMap<string, RegisteredTask>
): JobDescription {
  const { counted, ahead: queuePosition } = row
  const figures: JobFigures = {
    status: row.status,
    planned: row.planned,
    shown: row.progress,
    durationSeconds: row.duration_seconds,
    runningForSeconds: row.running_for_seconds,
    units: { total: counted.total, done: counted.done, running: counted.running, failed: counted.failed },
    secondsTotal: counted.seconds_total,
    secondsSettled: counted.seconds_settled,
    secondsWorked: counted.seconds_worked,
    secondsRunning: row.seconds_running ?? 0,
    fractionsRunning: row.fractions_running ?? 0
  }
  const next = nextOf(row)
  return {
    jobId: row.id,
    task: row.task,
    status: row.status,
    progress: progressOf(figures),
    queuePosition,
    etaSeconds: row.single ? singleEtaSeconds(row, next, workers, times) : etaSecondsOf(figures),
    waitingFor: waitingForOf({ ...figures, next, queuePosition }, workers, asked),
    units: figures.units,
    chunks: {
      total: counted.chunks_total,
      done: counted.chunks_done,
      running: counted.chunks_running,
      failed: counted.chunks_failed
    },
    model: row.model,
    language: row.language,
    durationSeconds: row.duration_seconds,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    // Written by a master of before, it may have a worker's words in its title.
    error: row.error && reportOf(row.error.code, row.error.detail),
    gaps: row.gaps
  }
}

function nextOf(row: JobFigureRow): QueuedUnit | null {
  if (row.next_queue === null) return null
  return {
    queue: row.next_queue,
    notBefore: row.next_not_before,
    pauseSeconds: row.next_pause_seconds ?? 0,
    attempts: row.next_attempts ?? 0,
    maxAttempts: row.next_max_attempts ?? 0,
    error: row.next_error?.detail ?? null
  }
}

/** Null also while nobody is there to run it. */
function singleEtaSeconds(
  row: JobFigureRow,
  next: QueuedUnit | null,
  workers: WorkerRow[],
  times: TaskTimes | undefined
): number | null {
  if (!OPEN_JOB.includes(row.status)) return null
  if (next && !workers.some(({ status, queues }) => status === 'online' && queues.includes(next.queue))) return null
  const standing = {
    isRunning: row.counted.running > 0,
    queuedForSeconds: row.next_queued_for_seconds ?? 0,
    pauseSeconds: next?.pauseSeconds ?? 0,
    runningForSeconds: row.running_for_seconds ?? 0,
    fraction: row.fractions_running ?? 0
  }
  return taskEtaSeconds(standing, times)
}

/** Writes down what is about to be shown; rows that somebody else holds are left for the next time. */
async function keepProgress(db: Database, rows: JobFigureRow[], described: JobDescription[]): Promise<void> {
  const grown = described.filter(
    ({ progress, status }, at) => progress > (rows[at]?.progress ?? 0) && OPEN_JOB.includes(status)
  )
  if (grown.length === 0) return
  const ids = grown.map(({ jobId }) => jobId)
  const values = grown.map(({ progress }) => progress)
  await sql`
    update jobs set progress = greatest(jobs.progress, shown.value)
    from (select unnest(${ids}::text[]) as id, unnest(${values}::real[]) as value) as shown
    where jobs.id = shown.id
      and jobs.id in (select id from jobs where id = any(${ids}::text[]) for update skip locked)`.execute(db)
}
