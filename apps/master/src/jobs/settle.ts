import type { ErrorReport } from '@sc/shared/errors.ts'
import type { Redis } from 'ioredis'
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { sendControl } from '../cluster/control.ts'
import { isOpenOfJob } from '../database/by-id.ts'
import { type Database, OPEN_JOB, type Tables, type UnitRow, type UnitStatus } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Dispatch } from './dispatch.ts'

/** Tells every master that jobs changed: event streams, plans and waiters look at them again. */
export async function notifyJobs(db: Kysely<Tables>, jobIds: string[]): Promise<void> {
  if (jobIds.length > 0) await notify(jobIds).execute(db)
}

/** The same as a statement. */
export function notify(jobIds: string[]): RawBuilder<unknown> {
  return sql`select pg_notify('sc_job', id) from unnest(${jobIds}::text[]) as id`
}

export async function notifyJob(db: Kysely<Tables>, jobId: string): Promise<void> {
  await notifyJobs(db, [jobId])
}

export interface SettleDeps {
  db: Database
  dispatch: Dispatch
  redis: Redis
  /** Called once the ends of jobs are written, however they ended. */
  onEnded(jobIds: string[]): Promise<void>
}

/**
 * Ends an open job before its time. Its rows first, in one transaction, so that no late result counts; then what is
 * queued and the slots that run its units. False: the job was not open, and stays as it is.
 */
export async function endJob(
  deps: SettleDeps,
  jobId: string,
  status: 'FAILED' | 'CANCELLED',
  error: ErrorReport | null
): Promise<boolean> {
  const units = await transact(deps.db, async trx => {
    const job = await trx
      .updateTable('jobs')
      .set({ status, error: error && JSON.stringify(error), finished_at: sql<Date>`now()` })
      .where('id', '=', jobId)
      .where('status', 'in', OPEN_JOB)
      .returning('id')
      .executeTakeFirst()
    if (!job) return null
    // Those that a worker may have or get; the others are only here.
    const { rows } = await sql<UnitRow & { was: UnitStatus }>`
      with open as (
        select id, status from units where job_id = ${jobId} and ${isOpenOfJob} for update
      ), cancelled as (
        update units set status = 'CANCELLED', finished_at = now(), partial = null
        from open where units.id = open.id returning units.*, open.status as was
      )
      select * from cancelled where entry is not null`.execute(trx)
    await notifyJob(trx, jobId)
    return rows
  })
  if (!units) return false
  await stopUnits(
    deps.redis,
    units.filter(unit => unit.was === 'RUNNING')
  )
  await deps.dispatch.withdraw(units.filter(unit => unit.was === 'QUEUED'))
  await deps.onEnded([jobId])
  return true
}

/** Tells each worker which of its units to stop. */
export async function stopUnits(redis: Redis, units: Array<Pick<UnitRow, 'id' | 'worker_id'>>): Promise<void> {
  for (const [workerId, held] of Map.groupBy(units, unit => unit.worker_id)) {
    if (workerId) await sendControl(redis, workerId, { type: 'cancel', unitIds: held.map(unit => unit.id) })
  }
}
