import { type Insertable, sql } from 'kysely'
import type { Database, JobsTable } from '../database/schema.ts'
import { takeTurn } from './fair-share.ts'
import { SENT, type SentUnit } from './send-next.ts'
import { unitIdOf } from './units.ts'
import { isDue, waitUntil } from './when-due.ts'

const RUN_AT = sql<Date | null>`job.run_at`

export interface SingleUnit {
  queue: string
  deadlineMs: number
  retryCrashes: boolean
  /** The caller puts the unit into its queue: what it is to be called there is written down with it. */
  isSent: boolean
  /** Of the job's large input. */
  inputSha256: string | null
}

/**
 * Adds a job of one unit together with its unit, in one statement: nobody sees one without the other. `requestDb`: a
 * connection that keeps the statement's plan, and a statement in one piece, which together take half of the time.
 */
export async function insertSingle(
  requestDb: Database,
  job: Insertable<JobsTable>,
  { queue, deadlineMs, retryCrashes, isSent, inputSha256 }: SingleUnit
): Promise<SentUnit> {
  const unitId = unitIdOf(job.id, { task: job.task, index: 0 })
  const { rows } = await sql<SentUnit>`
    with turn as (${takeTurn(job)}), job as (
      insert into jobs (${sql.join(Object.keys(job).map(name => sql.ref(name)))}) values (${sql.join(Object.values(job))})
      returning id, task, priority, max_attempts, run_at, wait_timeout_ms, input, input_ref
    )
    insert into units (id, job_id, task, index, queue, input_ref, input_sha256, params, params_bytes, span, seconds, deadline_ms, priority, rank, not_before,
      is_due, wait_until, max_attempts, retry_crashes, entry, sent_at)
    select ${unitId}, job.id, job.task, 0, ${queue}, job.input_ref, ${inputSha256}::text, job.input, octet_length(job.input::text), '{}', 0, ${deadlineMs}::integer, job.priority, turn.rank,
      job.run_at, ${isDue(RUN_AT)}, ${waitUntil(RUN_AT, sql`job.wait_timeout_ms`)}, job.max_attempts, ${retryCrashes}::boolean,
      ${isSent ? `${unitId}-0` : null}, case when ${isSent}::boolean then now() end
    from job, turn
    returning ${sql.join(SENT.map(name => sql.ref(name)))}`.execute(requestDb)
  return rows[0] as SentUnit
}
