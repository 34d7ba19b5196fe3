import { sql } from 'kysely'
import { inIndexOrder } from '../database/in-index-order.ts'
import { keepLarge, perDatabase } from '../database/keep-large.ts'
import { type Database, JOB_STATUSES, type JobStatus } from '../database/schema.ts'
import { readDoneLately } from './done-lately.ts'
import { readOpenJobs, readOpenUnits, totalOf } from './open-counts.ts'

export interface Totals {
  /** Those that ended: of the last 24 hours. */
  jobs: Record<JobStatus, number>
  units: { QUEUED: number; RUNNING: number }
  lastMinute: {
    unitsDone: number
    /** Of audio. */
    secondsDone: number
    jobsEnded: number
  }
}

/** What PostgreSQL counts, by indexes only: rows of long ago are not read. */
export async function readTotals(db: Database): Promise<Totals> {
  const [open, units, ended, done] = await Promise.all([
    readOpenJobs(db),
    readOpenUnits(db),
    endedOf(db)(),
    readDoneLately(db)
  ])
  const counts = new Map(ended.map(({ status, count }) => [status, Number(count)]))
  const jobsEnded = ended.reduce((sum, { lately }) => sum + Number(lately), 0)
  const jobs = { ...Object.fromEntries(JOB_STATUSES.map(status => [status, counts.get(status) ?? 0])), ...open }
  return {
    jobs: jobs as Totals['jobs'],
    units: totalOf(units),
    lastMinute: { unitsDone: done.units, secondsDone: done.seconds, jobsEnded }
  }
}

const endedOf = perDatabase(db =>
  keepLarge(
    () => readEnded(db),
    ended => ended.reduce((sum, { count }) => sum + Number(count), 0)
  )
)

async function readEnded(db: Database) {
  return await inIndexOrder(db, trx =>
    trx
      .selectFrom('jobs')
      .where('finished_at', '>', sql<Date>`now() - interval '24 hours'`)
      .groupBy('status')
      .select(['status', eb => eb.fn.countAll<string>().as('count')])
      .select(sql<string>`count(*) filter (where finished_at > now() - interval '1 minute')`.as('lately'))
      .execute()
  )
}
