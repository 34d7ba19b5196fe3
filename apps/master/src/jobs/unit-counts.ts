import { type RawBuilder, sql } from 'kysely'
import { KEPT_MS, LARGE } from '../database/keep-large.ts'
import { type DatabaseTransaction, type JobRow, OPEN_JOB } from '../database/schema.ts'

/** Of a job's units; seconds are seconds of the job's length. */
export interface CountedUnits {
  total: number
  done: number
  running: number
  failed: number
  chunks_total: number
  chunks_done: number
  chunks_running: number
  chunks_failed: number
  seconds_total: number
  seconds_settled: number
  seconds_worked: number
}

const isChunk = sql`task = 'transcribe.chunk'`
const sum = (condition: RawBuilder<unknown>) => sql`coalesce(sum(units) filter (where ${condition}), 0)::float8`

/** Everything but what runs changes with the status, which an index has: no row is read. */
const counted = sql`(
  select coalesce(sum(units), 0)::float8 as total, ${sum(sql`status = 'DONE'`)} as done,
    ${sum(sql`status = 'RUNNING'`)} as running, ${sum(sql`status = 'FAILED'`)} as failed,
    ${sum(isChunk)} as chunks_total, ${sum(sql`${isChunk} and status = 'DONE'`)} as chunks_done,
    ${sum(sql`${isChunk} and status = 'RUNNING'`)} as chunks_running,
    ${sum(sql`${isChunk} and status = 'FAILED'`)} as chunks_failed,
    coalesce(sum(seconds), 0)::float8 as seconds_total,
    coalesce(sum(seconds) filter (where status in ('DONE', 'FAILED')), 0)::float8 as seconds_settled,
    coalesce(sum(seconds) filter (where status = 'DONE'), 0)::float8 - (
      select coalesce(sum(seconds), 0) from units where job_id = jobs.id and status = 'DONE' and attempt_id is null
    ) as seconds_worked
  from (
    select status, task, count(*) as units, sum(seconds) as seconds from units where job_id = jobs.id
    group by status, task
  ) as same)`

/** Writes down the counts of jobs that have ended. One unit is counted as quickly. */
export async function keepCounts(trx: DatabaseTransaction, jobIds: string[]): Promise<void> {
  await sql`
    update jobs set counts = (select to_jsonb(counted) from ${counted} as counted)
    where id = any(${jobIds}::text[]) and not single`.execute(trx)
}

export interface UnitCounter {
  /** Counted now; of an open job of more than LARGE units at most KEPT_MS ago, for all who ask together. */
  count(trx: DatabaseTransaction, jobs: Array<Pick<JobRow, 'id' | 'status'>>): Promise<Map<string, CountedUnits>>
}

type Counting = Promise<Map<string, CountedUnits>>

export function createUnitCounter(): UnitCounter {
  /** Of jobs that were large when they were counted last. */
  const large = new Map<string, { counting: Counting; untilMs: number }>()

  function forgetOld(): void {
    for (const [id, { untilMs }] of large) if (untilMs < performance.now() - KEPT_MS) large.delete(id)
  }

  return {
    count: async (trx, jobs) => {
      const counts = new Map<string, CountedUnits>()
      const due: string[] = []
      for (const { id, status } of jobs) {
        const kept = OPEN_JOB.includes(status) ? large.get(id) : undefined
        if (!kept || kept.untilMs < performance.now()) due.push(id)
        else counts.set(id, (await kept.counting).get(id) ?? NONE)
      }
      if (due.length === 0) return counts
      const counting = countNow(trx, due)
      for (const id of due) if (large.has(id)) large.set(id, { counting, untilMs: Number.POSITIVE_INFINITY })
      try {
        for (const [id, one] of await counting) {
          counts.set(id, one)
          if (one.total > LARGE) large.set(id, { counting, untilMs: performance.now() + KEPT_MS })
          else large.delete(id)
        }
      } catch (error) {
        for (const id of due) large.delete(id)
        throw error
      }
      forgetOld()
      return counts
    }
  }
}

export const NONE: CountedUnits = {
  total: 0,
  done: 0,
  running: 0,
  failed: 0,
  chunks_total: 0,
  chunks_done: 0,
  chunks_running: 0,
  chunks_failed: 0,
  seconds_total: 0,
  seconds_settled: 0,
  seconds_worked: 0
}

async function countNow(trx: DatabaseTransaction, jobIds: string[]): Counting {
  const { rows } = await sql<CountedUnits & { id: string }>`
    select jobs.id, counted.* from unnest(${jobIds}::text[]) as jobs (id)
    cross join lateral ${counted} as counted`.execute(trx)
  return new Map(rows.map(({ id, ...one }) => [id, one]))
}
