import { isGpuClass, largerClass } from '@sc/shared/capability.ts'
import { type ErrorReport, reportOf } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { sql } from 'kysely'
import type { DatabaseTransaction, UnitRow } from '../database/schema.ts'
import { failAttempt, failUnit, requeue, type Verdict } from './verdict.ts'

/**
 * One message of an attempt, which a ticket proved, is applied to its unit; starts, results and returns are in
 * `accept-many.ts`. What the messages of an attempt mean:
 *
 * | message  | unit            | becomes                                                                        |
 * |----------|-----------------|--------------------------------------------------------------------------------|
 * | started  | open            | RUNNING; over an earlier attempt that never ended: one crash more; of an       |
 * |          |                 | attempt that is over already (the message was read twice): nothing             |
 * | started  | RUNNING, and its worker does not hold it (any more) | nothing                                    |
 * | started  | settled         | stays; the worker is told to stop                                              |
 * | progress | RUNNING, same attempt | fraction and partial result                                              |
 * | log      | RUNNING, same attempt; QUEUED and held | a line of the job's log                                 |
 * | result   | open            | DONE, once, whichever attempt brings it; else dropped. Of a transcription, one |
 * |          |                 | that cannot be of its audio: as an error (`transcription/check-output.ts`)     |
 * | error    | open, same attempt | QUEUED again while its budget lasts and trying again can help, else FAILED;  |
 * |          |                    | out of memory on a GPU: QUEUED for a larger one, FAILED when there is none   |
 * | returned | open, same entry   | QUEUED again at no cost, for an entry of its own; over another attempt that  |
 * |          |                    | never ended: one crash more                                                  |
 *
 * A unit whose task must not run twice is FAILED where this says QUEUED again after a crash, or after it was given back
 * begun: see `run-once.ts`.
 *
 * Crashes (a lost worker, a dead process) have a budget of their own, apart from the attempts that ended in an error.
 */
export async function acceptMessage(
  trx: DatabaseTransaction,
  workerId: string,
  message: SingleMessage,
  verdict: Verdict
): Promise<void> {
  switch (message.type) {
    case 'progress':
      return await acceptProgress(trx, workerId, message, verdict)
    case 'error':
      return await acceptError(trx, workerId, message, verdict)
  }
}

/** The others are taken many at a time: `accept-many.ts`. */
export type SingleMessage = Message<'progress' | 'error'>

type Message<T extends OutboxMessage['type']> = Extract<OutboxMessage, { type: T }>

/** In characters of JSON. It goes to everybody who watches the job, at every look. */
const LARGEST_PARTIAL = 256 * 1024

/** What there is to show so far; of what is too large, nothing. */
function partialText(partial: unknown): string | null {
  const text = partial === undefined ? null : JSON.stringify(partial)
  return text !== null && text.length > LARGEST_PARTIAL ? null : text
}

async function acceptProgress(
  trx: DatabaseTransaction,
  workerId: string,
  { unitId, attemptId, fraction, partial }: Message<'progress'>,
  verdict: Verdict
): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set({
      fraction: sql<number>`greatest(fraction, ${Math.round(fraction * 1e4) / 1e4}::real)`,
      partial: partialText(partial),
      touched_at: sql<Date>`now()`
    })
    .where('id', '=', unitId)
    .where('attempt_id', '=', attemptId)
    .where('worker_id', '=', workerId)
    .where('status', '=', 'RUNNING')
    .returning('job_id')
    .executeTakeFirst()
  if (unit) verdict.changed.add(unit.job_id)
}

async function acceptError(
  trx: DatabaseTransaction,
  workerId: string,
  message: Message<'error'>,
  verdict: Verdict
): Promise<void> {
  const unit = await openAttempt(trx, workerId, message)
  if (!unit) return
  verdict.settled.add(unit.id)
  const { retryable } = message
  const error = reportOf(message.error.code, message.error.detail)
  if (error.code === 'SC_OUT_OF_MEMORY' && isGpuClass(unit.queue)) return await moveUp(trx, unit, error, verdict)
  await failAttempt(trx, unit, error, retryable, verdict)
}

/** The card was too small: a larger class, at no cost; never the same again. */
async function moveUp(trx: DatabaseTransaction, unit: UnitRow, error: ErrorReport, verdict: Verdict): Promise<void> {
  const { attempts, crashes } = unit
  const queue = largerClass(unit.queue)
  if (queue !== null) return await requeue(trx, unit, { attempts, crashes, error, queue }, verdict)
  const detail = `The largest class, ${unit.queue}, has too little memory for unit ${unit.id}. ${error.detail}`
  await failUnit(trx, { ...unit, attempts: attempts + 1 }, reportOf(error.code, detail), verdict)
}

/** The unit that this attempt runs, locked; undefined: it is over, another took over, or the unit is settled. */
async function openAttempt(
  trx: DatabaseTransaction,
  workerId: string,
  { unitId, attemptId }: { unitId: string; attemptId: string }
): Promise<UnitRow | undefined> {
  return await trx
    .selectFrom('units')
    .selectAll()
    .where('id', '=', unitId)
    .where('status', '=', 'RUNNING')
    .where('attempt_id', '=', attemptId)
    .where('worker_id', '=', workerId)
    .forUpdate()
    .executeTakeFirst()
}
