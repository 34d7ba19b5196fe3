import { type SqlBool, sql } from 'kysely'
import { type Database, JOB_STATUSES } from '../database/schema.ts'
import type { Totals } from './totals.ts'

/** The figures of `totals.ts` for the jobs of one key alone. */
export async function readOwnTotals(db: Database, keyId: string): Promise<Totals> {
  const [jobs, units, done] = await Promise.all([readJobs(db, keyId), readUnits(db, keyId), readDone(db, keyId)])
  const counts = new Map(jobs.map(({ status, count }) => [status, count]))
  const open = new Map(units.map(({ status, count }) => [status, count]))
  return {
    jobs: Object.fromEntries(JOB_STATUSES.map(status => [status, counts.get(status) ?? 0])) as Totals['jobs'],
    units: { QUEUED: open.get('QUEUED') ?? 0, RUNNING: open.get('RUNNING') ?? 0 },
    lastMinute: { ...done, jobsEnded: jobs.reduce((sum, { lately }) => sum + lately, 0) }
  }
}

/** Jobs that are open, or ended in so long a time: by indexes. */
function isOpenOrEnded(within: string) {
  return sql<SqlBool>`(jobs.status in ('PENDING', 'RUNNING') or jobs.finished_at > now() - ${within}::interval)`
}

const count = sql<number>`count(*)::integer`

/** Open ones, and those that ended in the last 24 hours. */
async function readJobs(db: Database, keyId: string) {
  return await db
    .selectFrom('jobs')
    .select(['status', count.as('count')])
    .select(sql<number>`(count(*) filter (where finished_at > now() - interval '1 minute'))::integer`.as('lately'))
    .where('key_id', '=', keyId)
    .where(isOpenOrEnded('24 hours'))
    .groupBy('status')
    .execute()
}

async function readUnits(db: Database, keyId: string) {
  return await db
    .selectFrom('units')
    .innerJoin('jobs', 'jobs.id', 'units.job_id')
    .select(['units.status', count.as('count')])
    .where('jobs.key_id', '=', keyId)
    .where('units.status', 'in', ['QUEUED', 'RUNNING'])
    .groupBy('units.status')
    .execute()
}

async function readDone(db: Database, keyId: string): Promise<{ unitsDone: number; secondsDone: number }> {
  return await db
    .selectFrom('units')
    .innerJoin('jobs', 'jobs.id', 'units.job_id')
    .select([count.as('unitsDone'), sql<number>`coalesce(sum(units.seconds), 0)::float8`.as('secondsDone')])
    .where('jobs.key_id', '=', keyId)
    .where('units.status', '=', 'DONE')
    .where('units.finished_at', '>', sql<Date>`now() - interval '1 minute'`)
    // Says nothing new of them: PostgreSQL then need not read the units of all jobs that the key ever had.
    .where(isOpenOrEnded('1 minute'))
    .executeTakeFirstOrThrow()
}
