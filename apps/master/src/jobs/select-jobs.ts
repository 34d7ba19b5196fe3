import { type SqlBool, sql } from 'kysely'
import { inIndexOrder } from '../database/in-index-order.ts'
import { perDatabase } from '../database/keep-large.ts'
import type { Database, DatabaseTransaction, JobRow, UnitRow } from '../database/schema.ts'
import { readPlaces } from './queue-places.ts'
import { type CountedUnits, createUnitCounter, NONE } from './unit-counts.ts'

/**
 * The queued unit of an open job that goes first: one that may run now; with none, the one that may run first. Found by
 * the index `units_queued_of_job`.
 */
const nextUnit = sql<NextUnit>`(
  select * from units where job_id = jobs.id and status = 'QUEUED' and jobs.status in ('PENDING', 'RUNNING')
  order by not_before nulls first, rank limit 1)`

type NextUnit = Pick<
  UnitRow,
  'queue' | 'priority' | 'rank' | 'not_before' | 'attempts' | 'max_attempts' | 'error' | 'queued_at'
>

/** How far the units are that run. */
const running = sql<{ seconds_running: number; fractions_running: number }>`(
  select coalesce(sum(seconds * fraction), 0)::float8 as seconds_running,
    coalesce(sum(fraction), 0)::float8 as fractions_running
  from units where job_id = jobs.id and status = 'RUNNING' and jobs.status in ('PENDING', 'RUNNING'))`

const microseconds = (time: string) => sql<number | null>`(extract(epoch from ${sql.ref(time)}) * 1000000)::float8`

/** A job with one of its queued units and how far its running ones are. */
function selectJobs(db: Database) {
  return db
    .selectFrom('jobs')
    .leftJoinLateral(
      () => running.as('r'),
      join => join.onTrue()
    )
    .leftJoinLateral(
      () => nextUnit.as('next'),
      join => join.onTrue()
    )
    .select(['jobs.id', 'jobs.task', 'jobs.status', 'jobs.priority', 'jobs.planned', 'jobs.single', 'jobs.progress'])
    .select(['jobs.model', 'jobs.language', 'jobs.duration_seconds', 'jobs.error', 'jobs.gaps', 'jobs.counts'])
    .select(['jobs.created_at', 'jobs.started_at', 'jobs.finished_at'])
    .selectAll(['r'])
    .select(['next.queue as next_queue', 'next.priority as next_priority', 'next.rank as next_rank'])
    .select(['next.not_before as next_not_before', 'next.error as next_error'])
    .select(['next.attempts as next_attempts', 'next.max_attempts as next_max_attempts'])
    .select([
      microseconds('next.queued_at').as('next_queued_us'),
      sql<number | null>`extract(epoch from next.not_before - now())::float8`.as('next_pause_seconds'),
      sql<number | null>`extract(epoch from now() - next.queued_at)::float8`.as('next_queued_for_seconds'),
      sql<string>`(extract(epoch from jobs.created_at) * 1000000)::bigint::text`.as('created_us'),
      sql<number | null>`extract(epoch from now() - jobs.started_at)::float8`.as('running_for_seconds')
    ])
}

export type JobsQuery = ReturnType<typeof selectJobs>
export type SelectedJob = Awaited<ReturnType<JobsQuery['execute']>>[number]

/** With the figures of its units and its place in the queue. */
export interface JobFigureRow extends SelectedJob {
  counted: CountedUnits
  /** What goes before it; null: it is not PENDING. */
  ahead: number | null
}

const counterOf = perDatabase(createUnitCounter)

/** The jobs that `choose` leaves, in its order, all as of one moment. */
export async function readJobs(db: Database, choose: (query: JobsQuery) => JobsQuery): Promise<JobFigureRow[]> {
  return await inIndexOrder(db, async trx => {
    const jobs = await choose(selectJobs(trx)).execute()
    const counts = await countsOf(db, trx, jobs)
    const places = await readPlaces(trx, jobs)
    return jobs.map(job => ({ ...job, counted: counts.get(job.id) ?? NONE, ahead: places.get(job.id) ?? null }))
  })
}

/** What was written down at a job's end, else counted now. */
async function countsOf(db: Database, trx: DatabaseTransaction, jobs: SelectedJob[]) {
  const counts = await counterOf(db).count(
    trx,
    jobs.filter(job => job.counts === null)
  )
  for (const { id, counts: kept } of jobs) if (kept !== null) counts.set(id, { ...NONE, ...kept })
  return counts
}

/** Of a job in a list, newest first: `created_at` in µs since 1970, and id. */
export interface JobPlace {
  createdUs: string
  id: JobRow['id']
}

/** Behind a place in a list of jobs, newest first. */
export function isAfter({ createdUs, id }: JobPlace) {
  const at = sql`'epoch'::timestamptz + ${createdUs}::bigint * interval '1 microsecond'`
  return sql<SqlBool>`(jobs.created_at, jobs.id) < (${at}, ${id})`
}
