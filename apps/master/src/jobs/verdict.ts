import { ERRORS, type ErrorReport } from '@sc/shared/errors.ts'
import type { Timings } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import type { DatabaseTransaction, UnitRow } from '../database/schema.ts'

/** What a batch of messages changed, and what is to be done about it outside PostgreSQL. */
export interface Verdict {
  /** Jobs whose status may have changed. */
  changed: Set<string>
  /** Units to queue again, after the transaction. */
  requeue: UnitRow[]
  /** Attempts to stop on a worker. */
  stop: Array<{ id: string; worker_id: string }>
  done: Array<{ unit: UnitRow; timings: Timings }>
  failed: Array<{ unit: UnitRow; error: ErrorReport }>
}

export const MAX_ATTEMPTS = 3
export const MAX_CRASHES = 5
/** Outcomes that say nothing about the unit's own code: they count as crashes. */
export const CRASH_CODES = new Set<string>(['SC_CHILD_DIED', 'SC_WORKER_LOST'])

export function emptyVerdict(): Verdict {
  return { changed: new Set(), requeue: [], stop: [], done: [], failed: [] }
}

/** Puts an open unit back, as a new entry of its queue. */
export async function requeue(
  trx: DatabaseTransaction,
  unit: UnitRow,
  cost: { attempts: number; crashes: number; error: string },
  verdict: Verdict
): Promise<void> {
  const row = await trx
    .updateTable('units')
    .set(eb => ({
      ...cost,
      status: 'QUEUED',
      dispatch: unit.dispatch + 1,
      attempt_id: null,
      fraction: 0,
      partial: null,
      queued_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now')
    }))
    .where('id', '=', unit.id)
    .returningAll()
    .executeTakeFirstOrThrow()
  verdict.changed.add(unit.job_id)
  verdict.requeue.push(row)
}

/** Ends a unit for good. */
export async function failUnit(
  trx: DatabaseTransaction,
  unit: UnitRow,
  error: ErrorReport,
  verdict: Verdict
): Promise<void> {
  await trx
    .updateTable('units')
    .set({
      status: 'FAILED',
      attempts: unit.attempts,
      crashes: unit.crashes,
      error: JSON.stringify(error),
      partial: null,
      finished_at: sql<Date>`now()`
    })
    .where('id', '=', unit.id)
    .execute()
  verdict.changed.add(unit.job_id)
  verdict.failed.push({ unit, error })
}

/** What is said of a unit whose crashes are spent. */
export function poison(unit: UnitRow): ErrorReport {
  const last = unit.error ? ` The last one said: ${unit.error.detail}` : ''
  return {
    code: 'SC_POISON_UNIT',
    title: ERRORS.SC_POISON_UNIT.title,
    detail: `${unit.crashes} attempts at unit ${unit.id} ended with a lost worker or a dead process.${last}`
  }
}
