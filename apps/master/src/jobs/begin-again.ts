import { type RawBuilder, sql } from 'kysely'
import { type DatabaseTransaction, type JobRow, OPEN_UNIT, type UnitRow, type UnitStatus } from '../database/schema.ts'
import { rankUnits } from './fair-share.ts'
import { isDue, waitUntil } from './when-due.ts'

/** Workers remember for 3 s which units were cancelled: until then they would end them again. */
const AFTER_CANCEL_SECONDS = 4
export const SPARE = sql`make_interval(secs => ${AFTER_CANCEL_SECONDS})`

/** A job, which the caller has locked, as it was before its first unit started; one of many units is planned again. */
export async function beginAgain(
  trx: DatabaseTransaction,
  jobId: string,
  runAt: RawBuilder<Date | null>
): Promise<JobRow> {
  return await trx
    .updateTable('jobs')
    .set(eb => ({
      status: 'PENDING',
      planned: eb.ref('single'),
      error: null,
      gaps: '[]',
      output: null,
      output_ref: null,
      progress: 0,
      run_at: runAt,
      started_at: null,
      finished_at: null,
      bytes: null,
      told: false,
      counts: null,
      merges_begun: 0,
      generation: eb('generation', '+', 1)
    }))
    .where('id', '=', jobId)
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Those that a slot has or may get. */
export async function heldUnits(trx: DatabaseTransaction, jobId: string): Promise<UnitRow[]> {
  return await trx
    .selectFrom('units')
    .selectAll()
    .where('job_id', '=', jobId)
    .where('entry', 'is not', null)
    .where('status', 'in', OPEN_UNIT)
    .execute()
}

/**
 * An open job of many units, which the caller has locked, is planned again at once: no worker was told to stop any of its
 * units. Answers it and those that may be in Redis.
 */
export async function planAgain(trx: DatabaseTransaction, jobId: string): Promise<{ job: JobRow; held: UnitRow[] }> {
  const held = await heldUnits(trx, jobId)
  const job = await beginAgain(trx, jobId, sql<null>`null`)
  await trx.deleteFrom('units').where('job_id', '=', jobId).execute()
  return { job, held }
}

/** Units of a job of one unit, of some statuses, queued again with fresh attempts. */
export async function queueAgain(trx: DatabaseTransaction, job: JobRow, statuses: UnitStatus[]): Promise<UnitRow[]> {
  // Behind what came meanwhile: its old rank would go before everything.
  const [rank = 0] = await rankUnits(trx, job, [0])
  const runAt = sql<Date | null>`${job.run_at}::timestamptz`
  return await trx
    .updateTable('units')
    .set(eb => ({
      status: 'QUEUED',
      rank,
      attempts: 0,
      crashes: 0,
      dispatch: eb('dispatch', '+', 1),
      attempt_id: null,
      worker_id: null,
      made_by: null,
      given_to: null,
      slot: null,
      entry: null,
      not_before: job.run_at,
      is_due: isDue(runAt),
      wait_until: waitUntil(runAt),
      fraction: 0,
      output: null,
      output_ref: null,
      error: null,
      timings: null,
      queued_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now'),
      started_at: null,
      finished_at: null
    }))
    .where('job_id', '=', job.id)
    .where('status', 'in', statuses)
    .returningAll()
    .execute()
}
