import type { ErrorReport } from '@sc/shared/errors.ts'
import { type SqlBool, sql } from 'kysely'
import type { WorkerRow } from '../cluster/presence.ts'
import { type Database, type Gap, type JobStatus, OPEN_JOB } from '../database/schema.ts'
import { etaSecondsOf, type JobFigures, progressOf, type UnitCounts } from './progress.ts'
import { waitingForOf } from './waiting-for.ts'

/** What the API says of a job: one query for the row, its units and its place in the queue. */
export interface JobDescription {
  jobId: string
  task: string
  status: JobStatus
  progress: number
  /** Jobs that go before a PENDING one (counted up to 200 of a higher and 200 of the same priority); else null. */
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
}

export interface JobFilter {
  status?: JobStatus | undefined
  task?: string | undefined
  /** Only jobs after this one, newest first: `created_at` in µs since 1970, and id. */
  after?: { createdUs: string; id: string } | undefined
  limit: number
}

/** A page of 100 rows at 100,000 open jobs: 70 ms; without an end, minutes. */
const COUNTED_UP_TO = 200
const CHUNK = 'transcribe.chunk'

/** Null: there is no such job. */
export async function describeJob(deps: DescribeDeps, jobId: string): Promise<JobDescription | null> {
  const row = await selectJobs(deps.db).where('jobs.id', '=', jobId).executeTakeFirst()
  return row ? ((await describeRows(deps, [row]))[0] ?? null) : null
}

/** Newest first. The cursor of the next page is that of the last row. */
export async function listJobs(
  deps: DescribeDeps,
  filter: JobFilter
): Promise<{ items: JobDescription[]; next: JobFilter['after'] }> {
  let query = selectJobs(deps.db)
    .orderBy('jobs.created_at', 'desc')
    .orderBy('jobs.id', 'desc')
    .limit(filter.limit + 1)
  if (filter.status) query = query.where('jobs.status', '=', filter.status)
  if (filter.task) query = query.where('jobs.task', '=', filter.task)
  if (filter.after) {
    const { createdUs, id } = filter.after
    const at = sql`'epoch'::timestamptz + ${createdUs}::bigint * interval '1 microsecond'`
    query = query.where(sql<SqlBool>`(jobs.created_at, jobs.id) < (${at}, ${id})`)
  }
  const rows = await query.execute()
  const page = rows.slice(0, filter.limit)
  const last = rows.length > filter.limit ? page.at(-1) : undefined
  return { items: await describeRows(deps, page), next: last && { createdUs: last.created_us, id: last.id } }
}

/** A job with the figures of its units. */
function selectJobs(db: Database) {
  const count = (condition: ReturnType<typeof sql>) => sql<string>`count(*) filter (where ${condition})`
  const seconds = (condition: ReturnType<typeof sql>) =>
    sql<number>`coalesce(sum(seconds) filter (where ${condition}), 0)`
  const chunk = sql`task = ${CHUNK}`
  return db
    .selectFrom('jobs')
    .leftJoinLateral(
      eb =>
        eb
          .selectFrom('units')
          .whereRef('units.job_id', '=', 'jobs.id')
          .select([
            count(sql`true`).as('total'),
            count(sql`status = 'DONE'`).as('done'),
            count(sql`status = 'RUNNING'`).as('running'),
            count(sql`status = 'FAILED'`).as('failed'),
            count(chunk).as('chunks_total'),
            count(sql`${chunk} and status = 'DONE'`).as('chunks_done'),
            count(sql`${chunk} and status = 'RUNNING'`).as('chunks_running'),
            count(sql`${chunk} and status = 'FAILED'`).as('chunks_failed'),
            sql<number>`coalesce(sum(seconds), 0)`.as('seconds_total'),
            seconds(sql`status in ('DONE', 'FAILED')`).as('seconds_settled'),
            seconds(sql`status = 'DONE' and attempt_id is not null`).as('seconds_worked'),
            sql<number>`coalesce(sum(seconds * fraction) filter (where status = 'RUNNING'), 0)`.as('seconds_running'),
            sql<string | null>`min(queue) filter (where status = 'QUEUED')`.as('queued_on')
          ])
          .as('u'),
      join => join.onTrue()
    )
    .select([
      'jobs.id',
      'jobs.task',
      'jobs.status',
      'jobs.planned',
      'jobs.progress',
      'jobs.model',
      'jobs.language',
      'jobs.duration_seconds',
      'jobs.created_at',
      'jobs.started_at',
      'jobs.finished_at',
      'jobs.error',
      'jobs.gaps'
    ])
    .selectAll('u')
    .select([
      sql<string>`(extract(epoch from jobs.created_at) * 1000000)::bigint::text`.as('created_us'),
      sql<number | null>`extract(epoch from now() - jobs.started_at)::float8`.as('running_for_seconds'),
      // In the order of an index: left to itself, PostgreSQL reads the whole table for each row.
      sql<string | null>`case when jobs.status = 'PENDING' then
        (select count(*) from (select from jobs as o where o.status in ('PENDING', 'RUNNING')
          and o.priority > jobs.priority order by o.priority, o.created_at, o.id limit ${COUNTED_UP_TO}) as higher) +
        (select count(*) from (select from jobs as o where o.status in ('PENDING', 'RUNNING')
          and o.priority = jobs.priority and (o.created_at, o.id) < (jobs.created_at, jobs.id)
          order by o.priority, o.created_at, o.id limit ${COUNTED_UP_TO}) as older) end`.as('ahead')
    ])
}

type Row = Awaited<ReturnType<ReturnType<typeof selectJobs>['execute']>>[number]

async function describeRows(deps: DescribeDeps, rows: Row[]): Promise<JobDescription[]> {
  const described = rows.map(row => describe(row, deps.presence.workers()))
  await keepProgress(deps.db, rows, described)
  return described
}

function describe(row: Row, workers: WorkerRow[]): JobDescription {
  const figures: JobFigures = {
    status: row.status,
    planned: row.planned,
    shown: row.progress,
    durationSeconds: row.duration_seconds,
    runningForSeconds: row.running_for_seconds,
    units: countsOf(row.total, row.done, row.running, row.failed),
    secondsTotal: row.seconds_total ?? 0,
    secondsSettled: row.seconds_settled ?? 0,
    secondsWorked: row.seconds_worked ?? 0,
    secondsRunning: row.seconds_running ?? 0
  }
  const queuePosition = row.ahead === null ? null : Number(row.ahead)
  return {
    jobId: row.id,
    task: row.task,
    status: row.status,
    progress: progressOf(figures),
    queuePosition,
    etaSeconds: etaSecondsOf(figures),
    waitingFor: waitingForOf({ ...figures, queuedOn: row.queued_on, queuePosition }, workers),
    units: figures.units,
    chunks: countsOf(row.chunks_total, row.chunks_done, row.chunks_running, row.chunks_failed),
    model: row.model,
    language: row.language,
    durationSeconds: row.duration_seconds,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    error: row.error,
    gaps: row.gaps
  }
}

function countsOf(
  ...counts: [total: string | null, done: string | null, running: string | null, failed: string | null]
): UnitCounts {
  const [total = 0, done = 0, running = 0, failed = 0] = counts.map(Number)
  return { total, done, running, failed }
}

/** Writes down what is about to be shown; rows that somebody else holds are left for the next time. */
async function keepProgress(db: Database, rows: Row[], described: JobDescription[]): Promise<void> {
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
