import type { ErrorReport } from '@sc/shared/errors.ts'
import type { Redis } from 'ioredis'
import { type Kysely, sql } from 'kysely'
import { sendControl } from '../cluster/control.ts'
import { type Database, OPEN_JOB, OPEN_UNIT, type Tables, type UnitRow } from '../database/schema.ts'
import type { Dispatch } from './dispatch.ts'

/** Tells every master that a job changed: event streams, plans and waiters look at it again. */
export async function notifyJob(db: Kysely<Tables>, jobId: string): Promise<void> {
  await sql`select pg_notify('sc_job', ${jobId})`.execute(db)
}

export interface SettleDeps {
  db: Database
  dispatch: Dispatch
  redis: Redis
  /** Called once the job's end is written, however it ended. */
  onEnded(jobId: string): Promise<void>
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
  const units = await deps.db.transaction().execute(async trx => {
    const job = await trx
      .updateTable('jobs')
      .set({ status, error: error && JSON.stringify(error), finished_at: sql<Date>`now()` })
      .where('id', '=', jobId)
      .where('status', 'in', OPEN_JOB)
      .returning('id')
      .executeTakeFirst()
    if (!job) return null
    const open = await trx
      .selectFrom('units')
      .selectAll()
      .where('job_id', '=', jobId)
      .where('status', 'in', OPEN_UNIT)
      .forUpdate()
      .execute()
    await trx
      .updateTable('units')
      .set({ status: 'CANCELLED', finished_at: sql<Date>`now()`, partial: null })
      .where('job_id', '=', jobId)
      .where('status', 'in', OPEN_UNIT)
      .execute()
    await notifyJob(trx, jobId)
    return open
  })
  if (!units) return false
  await stopUnits(
    deps.redis,
    units.filter(unit => unit.status === 'RUNNING')
  )
  await deps.dispatch.withdraw(units.filter(unit => unit.status === 'QUEUED'))
  await deps.onEnded(jobId)
  return true
}

/** Tells each worker which of its units to stop. */
export async function stopUnits(redis: Redis, units: Array<Pick<UnitRow, 'id' | 'worker_id'>>): Promise<void> {
  for (const [workerId, held] of Map.groupBy(units, unit => unit.worker_id)) {
    if (workerId) await sendControl(redis, workerId, { type: 'cancel', unitIds: held.map(unit => unit.id) })
  }
}
