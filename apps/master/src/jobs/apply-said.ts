import { type ErrorReport, ScError } from '@sc/shared/errors.ts'
import { isOfAttempt } from '@sc/shared/outbox-message.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { isDatabaseAway } from '../database/connect.ts'
import type { DatabaseTransaction } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Metrics } from '../metrics.ts'
import { acceptBatch, type Holds, type Said } from './accept-batch.ts'
import { advanceClock } from './fair-share.ts'
import type { Pace } from './pace.ts'
import { endJob, notify, type SettleDeps, stopUnits } from './settle.ts'
import { endSingles } from './single-task.ts'
import { findUnsettled, type Unsettled } from './unsettled.ts'
import { emptyVerdict, type Verdict } from './verdict.ts'

export interface ApplyDeps extends SettleDeps {
  log: Logger
  metrics: Metrics
  pace: Pace
  /** Looks which of the jobs are complete. */
  onSettled(jobIds: string[]): Promise<void>
  /** The rights of these workers may have grown. */
  onRegistered?(workerIds: string[]): void
  /** PostgreSQL does not take what this worker wrote. */
  onRefused?(workerId: string, reason: string): void
  holds: Holds
}

/**
 * Applies what was said, in one transaction; answers which outcomes settled nothing. What PostgreSQL refuses is looked for in ever smaller parts: one message
 * that cannot be applied must not hold up all others for ever.
 */
export async function applySaid(deps: ApplyDeps, said: Said[]): Promise<Unsettled[]> {
  let decided: { verdict: Verdict; unsettled: Unsettled[] }
  try {
    decided = await transact(deps.db, trx => decideTogether(trx, said, deps.holds))
  } catch (error) {
    if (isDatabaseAway(error)) throw error
    const [only] = said
    if (only && said.length === 1) {
      await refuse(deps, only, error)
      return await findUnsettled(deps.db, said, new Set())
    }
    const middle = Math.ceil(said.length / 2)
    const first = await applySaid(deps, said.slice(0, middle))
    return [...first, ...(await applySaid(deps, said.slice(middle)))]
  }
  await act(deps, decided.verdict)
  return decided.unsettled
}

/** Of an outcome its attempt must hear all the same: a result that cannot be written is an error. */
async function refuse(deps: ApplyDeps, { workerId, message }: Said, error: unknown): Promise<void> {
  // Each of these costs a transaction, and those that try the parts of its batch: their author has to end, not the log to grow.
  if (isOfData(error)) deps.onRefused?.(workerId, `it wrote a "${message.type}" that PostgreSQL does not take`)
  else deps.log.error({ err: error, workerId, type: message.type }, 'a message of a worker cannot be applied; dropped')
  if (message.type !== 'result') return
  const { output: _, ...about } = message
  const detail = `The result could not be stored: ${error instanceof Error ? error.message : String(error)}`
  const report = new ScError('SC_INTERNAL', detail).toReport()
  // A short unit's result comes without a start before it, and an error counts for an attempt that began.
  await applySaid(deps, [
    { workerId, message: { ...about, type: 'started', waitedMs: 0 } },
    { workerId, message: { ...about, type: 'error', error: report, retryable: false } }
  ])
}

/** A value that is none of its column, or too large for PostgreSQL: it is in the message. Other errors may be of our own. */
function isOfData(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(22|54)/.test(String(error.code))
}

async function decideTogether(trx: DatabaseTransaction, all: Said[], holds: Holds) {
  const verdict = emptyVerdict()
  const said = await withoutRevoked(trx, all)
  const locked = await lockJobs(trx, said)
  await acceptBatch(trx, said, verdict, holds)
  // Most batches are of jobs that run and have many units.
  const pending = locked.filter(({ id, isPending }) => isPending && verdict.changed.has(id))
  if (pending.length > 0) await markStarted(trx, pending)
  const settled = [...verdict.done, ...verdict.failed].map(({ unit }) => unit.id)
  if (locked.some(({ single }) => single)) verdict.ended = await endSingles(trx, settled)
  const different = [...new Set([...verdict.changed, ...verdict.noticed])]
  await sql`with clock as (${advanceClock(verdict.startedRank)}) ${notify(different)}`.execute(trx)
  return { verdict, unsettled: await findUnsettled(trx, all, verdict.settled) }
}

/**
 * What a revoked worker wrote counts no more, so that `redo` after its revocation is final. A revocation waits for batches
 * that began before it: see `revoke` in `cluster/access.ts`.
 */
async function withoutRevoked(trx: DatabaseTransaction, said: Said[]): Promise<Said[]> {
  const workerIds = [...new Set(said.map(({ workerId }) => workerId))]
  const { rows } = await sql<{ id: string; revoked_at: Date | null }>`
    select id, revoked_at from workers where id = any(${workerIds}::text[]) order by id for key share`.execute(trx)
  const revoked = new Set(rows.filter(({ revoked_at }) => revoked_at !== null).map(({ id }) => id))
  return revoked.size === 0 ? said : said.filter(({ workerId }) => !revoked.has(workerId))
}

interface LockedJob {
  id: string
  single: boolean
  isPending: boolean
}

/**
 * Jobs before their units, as everybody locks them: two that lock in turn would wait for each other. Only those whose row
 * may be written here: a job that is still being planned is not to wait for what is said of its first units.
 */
async function lockJobs(trx: DatabaseTransaction, said: Said[]): Promise<LockedJob[]> {
  const unitIds = said.flatMap(({ message }) => (isOfAttempt(message) ? message.unitId : []))
  const { rows } = await sql<LockedJob>`
    select id, single, status = 'PENDING' as "isPending" from jobs where id in (select job_id from units where id = any(${[...new Set(unitIds)]}::text[]))
      and (status = 'PENDING' or single)
    order by id for no key update`.execute(trx)
  return rows
}

async function markStarted(trx: DatabaseTransaction, jobs: LockedJob[]): Promise<void> {
  const ids = jobs.map(({ id }) => id)
  await sql`
    update jobs set status = 'RUNNING', started_at = now() where id = any(${ids}::text[]) and status = 'PENDING'`.execute(
    trx
  )
}

/** What follows outside PostgreSQL. Each step may be repeated, and the reconciler repeats those a crash cut off. */
async function act(deps: ApplyDeps, verdict: Verdict): Promise<void> {
  for (const { unit, timings, heldBy } of verdict.done) if (heldBy) deps.pace.finished(unit, heldBy, timings.ran)
  if (verdict.registered.size > 0) deps.onRegistered?.([...verdict.registered])
  deps.dispatch.wake(verdict.waiting)
  for (const { unit } of verdict.done) deps.dispatch.refill(unit.queue)
  await stopUnits(deps.redis, verdict.stop)
  for (const { unit, timings } of verdict.done) deps.metrics.unitFinished(unit.task, timings)
  for (const { unit, error } of verdict.failed) {
    deps.metrics.unitFailed(unit.task, error.code)
    if (concernsWholeJob(error)) await endJob(deps, unit.job_id, 'FAILED', error)
  }
  await deps.onEnded(verdict.ended)
  const settled = new Set([...verdict.done, ...verdict.failed].map(({ unit }) => unit.job_id))
  if (settled.size > 0) await deps.onSettled([...settled])
}

/** An error that every other unit of the job would meet too. */
function concernsWholeJob(error: ErrorReport): boolean {
  return (
    error.code === 'SC_LANGUAGE_NOT_SUPPORTED' || error.code === 'SC_UNKNOWN_MODEL' || error.code === 'SC_TASK_INPUT'
  )
}
