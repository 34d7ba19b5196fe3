import { type SqlBool, sql } from 'kysely'
import type { Database, UnitRow } from '../database/schema.ts'
import { unitCounts } from './unit-counts.ts'

/** A page of 100 rows at 100,000 open jobs: 70 ms; without an end, minutes. */
const COUNTED_UP_TO = 200

type NextUnit = Pick<UnitRow, 'queue' | 'not_before' | 'attempts' | 'max_attempts' | 'error' | 'queued_at'>

/** A unit that may run now; with none, the one that may run first. The second is only looked for without a first. */
const nextUnit = sql<NextUnit>`(
  (select * from units where job_id = jobs.id and status = 'QUEUED' and jobs.status in ('PENDING', 'RUNNING')
    and (not_before is null or not_before <= now()) order by task, index limit 1)
  union all
  (select * from units where job_id = jobs.id and status = 'QUEUED' and jobs.status in ('PENDING', 'RUNNING')
    order by not_before limit 1)
  limit 1)`

/** Units that go before a queued one and may run now. */
const unitsAhead = sql`
  (select count(*) from (select from units as o where o.queue = next.queue and o.status = 'QUEUED'
    and o.priority > next.priority and (o.not_before is null or o.not_before <= now())
    order by o.priority desc limit ${COUNTED_UP_TO}) as higher) +
  (select count(*) from (select from units as o where o.queue = next.queue and o.status = 'QUEUED'
    and o.priority = next.priority and (o.rank, o.queued_at) < (next.rank, next.queued_at)
    and (o.not_before is null or o.not_before <= now())
    order by o.rank, o.queued_at limit ${COUNTED_UP_TO}) as older)`

/** How far the units are that run. */
const running = sql<{ seconds_running: number; fractions_running: number }>`(
  select coalesce(sum(seconds * fraction), 0)::float8 as seconds_running,
    coalesce(sum(fraction), 0)::float8 as fractions_running
  from units where job_id = jobs.id and status = 'RUNNING')`

/** A job with the figures of its units, one of its queued units, and its place in the queue. */
export function selectJobs(db: Database) {
  return db
    .selectFrom('jobs')
    .leftJoinLateral(
      () => unitCounts.as('u'),
      join => join.onTrue()
    )
    .leftJoinLateral(
      () => running.as('r'),
      join => join.onTrue()
    )
    .leftJoinLateral(
      () => nextUnit.as('next'),
      join => join.onTrue()
    )
    .select([
      'jobs.id',
      'jobs.task',
      'jobs.status',
      'jobs.planned',
      'jobs.single',
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
    .selectAll(['u', 'r'])
    .select(['next.queue as next_queue', 'next.not_before as next_not_before', 'next.error as next_error'])
    .select(['next.attempts as next_attempts', 'next.max_attempts as next_max_attempts'])
    .select([
      sql<number | null>`extract(epoch from next.not_before - now())::float8`.as('next_pause_seconds'),
      sql<number | null>`extract(epoch from now() - next.queued_at)::float8`.as('next_queued_for_seconds')
    ])
    .select([
      sql<string>`(extract(epoch from jobs.created_at) * 1000000)::bigint::text`.as('created_us'),
      sql<number | null>`extract(epoch from now() - jobs.started_at)::float8`.as('running_for_seconds'),
      // In the order of an index: left to itself, PostgreSQL reads the whole table for each row.
      sql<
        string | null
      >`case when jobs.status <> 'PENDING' then null when next.queue is not null then ${unitsAhead} else
        (select count(*) from (select from jobs as o where o.status in ('PENDING', 'RUNNING')
          and o.priority > jobs.priority order by o.priority, o.created_at, o.id limit ${COUNTED_UP_TO}) as higher) +
        (select count(*) from (select from jobs as o where o.status in ('PENDING', 'RUNNING')
          and o.priority = jobs.priority and (o.created_at, o.id) < (jobs.created_at, jobs.id)
          order by o.priority, o.created_at, o.id limit ${COUNTED_UP_TO}) as older) end`.as('ahead')
    ])
}

export type JobFigureRow = Awaited<ReturnType<ReturnType<typeof selectJobs>['execute']>>[number]

/** Of a job in a list, newest first: `created_at` in µs since 1970, and id. */
export interface JobPlace {
  createdUs: string
  id: string
}

/** Behind a place in a list of jobs, newest first. */
export function isAfter({ createdUs, id }: JobPlace) {
  const at = sql`'epoch'::timestamptz + ${createdUs}::bigint * interval '1 microsecond'`
  return sql<SqlBool>`(jobs.created_at, jobs.id) < (${at}, ${id})`
}
