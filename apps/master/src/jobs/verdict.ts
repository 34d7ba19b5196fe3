import { ERRORS, type ErrorReport, reportOf } from '@sc/shared/errors.ts'
import type { Timings } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import type { DatabaseTransaction, UnitRow } from '../database/schema.ts'
import { waitUntil } from './when-due.ts'

/** What a settled unit is told by outside PostgreSQL. */
export type SettledUnit = Pick<UnitRow, 'id' | 'job_id' | 'task' | 'queue'>

/** What a batch of messages changed, and what is to be done about it outside PostgreSQL. */
export interface Verdict {
  /** Jobs that have begun, if they had not. */
  changed: Set<string>
  /** Further jobs of which something is different. */
  noticed: Set<string>
  /** Queues in which units wait again. */
  waiting: Set<string>
  /** Attempts to stop on a worker. */
  stop: Array<{ id: string; worker_id: string }>
  /** `heldBy`: the worker that had it just then; null: the result came late, or of whom another master served. */
  done: Array<{ unit: SettledUnit; timings: Timings; heldBy: string | null }>
  failed: Array<{ unit: SettledUnit; error: ErrorReport }>
  /** Units of which an outcome counted: their entry is over. */
  settled: Set<string>
  /** Workers that may use other queues than before. */
  registered: Set<string>
  /** Jobs that ended with their only unit. */
  ended: string[]
  /** The highest rank that was started. */
  startedRank: number
}

export const MAX_CRASHES = 5
/** Of a unit: it may be run again after so many but one. */
export function mostCrashes({ retry_crashes }: Pick<UnitRow, 'retry_crashes'>): number {
  return retry_crashes ? MAX_CRASHES : 1
}

/** Outcomes that say nothing about the unit's own code: they count as crashes. */
const CRASH_CODES = new Set<string>(['SC_CHILD_DIED', 'SC_WORKER_LOST'])

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 5 * 60_000

export function emptyVerdict(): Verdict {
  return {
    changed: new Set(),
    noticed: new Set(),
    waiting: new Set(),
    stop: [],
    done: [],
    failed: [],
    settled: new Set(),
    registered: new Set(),
    ended: [],
    startedRank: 0
  }
}

/** Pause after the n-th failed attempt, in ms: 1 s, 2 s, 4 s … 5 min, less up to half of it, so that units part. */
export function pauseAfterMs(failedAttempts: number, random: () => number = Math.random): number {
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failedAttempts - 1))
  return Math.round(pauseMs * (0.5 + random() / 2))
}

export interface Requeue {
  attempts: number
  crashes: number
  error: ErrorReport
  /** Another capability class than before. */
  queue?: string
  pauseMs?: number
}

/** Puts an open unit back, as a new entry of its queue. It keeps its `attempt_id`: that attempt is over, and is known. */
export async function requeue(
  trx: DatabaseTransaction,
  unit: UnitRow,
  { attempts, crashes, error, queue = unit.queue, pauseMs = 0 }: Requeue,
  verdict: Verdict
): Promise<void> {
  const notBefore = pauseMs > 0 ? sql<Date>`now() + make_interval(secs => ${pauseMs / 1000})` : sql<null>`null`
  await trx
    .updateTable('units')
    .set(eb => ({
      attempts,
      crashes,
      error: JSON.stringify(error),
      queue,
      status: 'QUEUED',
      dispatch: unit.dispatch + 1,
      entry: null,
      given_to: null,
      not_before: notBefore,
      is_due: pauseMs <= 0,
      wait_until: waitUntil(notBefore),
      fraction: 0,
      partial: null,
      queued_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now')
    }))
    .where('id', '=', unit.id)
    .execute()
  verdict.changed.add(unit.job_id)
  verdict.waiting.add(queue)
}

/** An attempt at an open unit ended in an error: QUEUED again while its budget lasts and trying again can help, else FAILED. */
export async function failAttempt(
  trx: DatabaseTransaction,
  unit: UnitRow,
  error: ErrorReport,
  retryable: boolean,
  verdict: Verdict
): Promise<void> {
  const crashed = CRASH_CODES.has(error.code)
  const attempts = unit.attempts + (crashed ? 0 : 1)
  const crashes = unit.crashes + (crashed ? 1 : 0)
  const again = retryable && ERRORS[error.code].retryable
  if (again && attempts < unit.max_attempts && crashes < mostCrashes(unit)) {
    const pauseMs = crashed ? 0 : pauseAfterMs(attempts)
    await requeue(trx, unit, { attempts, crashes, error, pauseMs }, verdict)
  } else {
    const spent = { ...unit, attempts, crashes, error }
    await failUnit(trx, spent, crashed ? poison(spent) : error, verdict)
  }
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
  if (!unit.retry_crashes) return mayHaveRun(unit)
  const last = unit.error ? ` The last one said: ${unit.error.detail}` : ''
  const detail = `${unit.crashes} attempts at unit ${unit.id} ended with a lost worker or a dead process.${last}`
  return reportOf('SC_POISON_UNIT', detail)
}

/** It was not to run twice. */
function mayHaveRun({ id, task, given_to, worker_id, error }: UnitRow): ErrorReport {
  const worker = worker_id ?? given_to
  const why = error ? error.detail : `The worker ${worker} gave it back after it had begun, or was lost.`
  const detail = `Unit ${id} may have run, and its task ${task} must not run twice (retryCrashes: false). Look whether it had its effect; POST /api/jobs/{id}/retry runs it again. ${why}`
  return reportOf('SC_MAY_HAVE_RUN', detail)
}
