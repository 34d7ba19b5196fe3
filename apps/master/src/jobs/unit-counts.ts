import { type RawBuilder, sql } from 'kysely'
import type { DatabaseTransaction } from '../database/schema.ts'

interface Counts {
  total: string
  done: string
  running: string
  failed: string
  chunks_total: string
  chunks_done: string
  chunks_running: string
  chunks_failed: string
  seconds_total: number
  seconds_settled: number
  seconds_worked: number
}

const isChunk = sql`task = 'transcribe.chunk'`
const sum = (condition: RawBuilder<unknown>) => sql`coalesce(sum(units) filter (where ${condition}), 0)`

/** Everything but what runs changes with the status, which an index has: no row is read. */
const counted = sql`(
  select coalesce(sum(units), 0) as total, ${sum(sql`status = 'DONE'`)} as done,
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

/** Of the units of `jobs`: what was written down at its end, else counted now. */
export const unitCounts = sql<Counts>`(
  select kept.* from jsonb_to_record(jobs.counts) as kept (total numeric, done numeric, running numeric, failed numeric,
    chunks_total numeric, chunks_done numeric, chunks_running numeric, chunks_failed numeric, seconds_total float8,
    seconds_settled float8, seconds_worked float8)
  where jobs.counts is not null
  union all
  select counted.* from ${counted} as counted where jobs.counts is null)`

/** Writes down the counts of jobs that have ended. One unit is counted as quickly. */
export async function keepCounts(trx: DatabaseTransaction, jobIds: string[]): Promise<void> {
  await sql`
    update jobs set counts = (select to_jsonb(counted) from ${counted} as counted)
    where id = any(${jobIds}::text[]) and not single`.execute(trx)
}
