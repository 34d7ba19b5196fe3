import { sql } from 'kysely'
import { type Database, JOB_STATUSES, type JobStatus } from '../database/schema.ts'

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
  const [open, ended, done] = await Promise.all([readOpen(db), readEnded(db), readLastMinute(db)])
  const counts = new Map(ended.map(({ status, count }) => [status, Number(count)]))
  const jobsEnded = ended.reduce((sum, { lately }) => sum + Number(lately), 0)
  const jobs = { ...Object.fromEntries(JOB_STATUSES.map(status => [status, counts.get(status) ?? 0])), ...open.jobs }
  return { jobs: jobs as Totals['jobs'], units: open.units, lastMinute: { ...done, jobsEnded } }
}

async function readOpen(db: Database) {
  const { rows } = await sql<{ open: string; running: string; queued: string; units_running: string }>`
    select (select count(*) from jobs where status in ('PENDING', 'RUNNING')) as open,
      (select count(*) from jobs where status = 'RUNNING') as running,
      (select count(*) from units where status = 'QUEUED') as queued,
      (select count(*) from units where status = 'RUNNING') as units_running`.execute(db)
  const { open = 0, running = 0, queued = 0, units_running = 0 } = rows[0] ?? {}
  return {
    jobs: { PENDING: Number(open) - Number(running), RUNNING: Number(running) },
    units: { QUEUED: Number(queued), RUNNING: Number(units_running) }
  }
}

async function readEnded(db: Database) {
  return await db
    .selectFrom('jobs')
    .where('finished_at', '>', sql<Date>`now() - interval '24 hours'`)
    .groupBy('status')
    .select(['status', eb => eb.fn.countAll<string>().as('count')])
    .select(sql<string>`count(*) filter (where finished_at > now() - interval '1 minute')`.as('lately'))
    .execute()
}

/** From one name of a task to the next, and of each only its newest units: the order of the index `units_done`. */
async function readLastMinute(db: Database): Promise<{ unitsDone: number; secondsDone: number }> {
  const { rows } = await sql<{ done: string; seconds: number }>`
    with recursive tasks as (
      (select task from units where status = 'DONE' order by task limit 1)
      union all
      select (select task from units where status = 'DONE' and task > tasks.task order by task limit 1)
      from tasks where tasks.task is not null
    )
    select count(*) as done, coalesce(sum(seconds), 0)::float8 as seconds
    from tasks join units on units.task = tasks.task and units.status = 'DONE'
      and units.finished_at > now() - interval '1 minute'`.execute(db)
  return { unitsDone: Number(rows[0]?.done ?? 0), secondsDone: rows[0]?.seconds ?? 0 }
}
