import { ERRORS } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import { type DatabaseTransaction, OPEN_UNIT, type UnitRow } from '../database/schema.ts'
import { keepLog } from './keep-logs.ts'
import { CRASH_CODES, failUnit, MAX_ATTEMPTS, MAX_CRASHES, poison, requeue, type Verdict } from './verdict.ts'

/**
 * One message of a worker: what it registers is kept with it; a message of an attempt is applied to its unit. This is where it is decided what an attempt's outcome means:
 *
 * | message  | unit            | becomes                                                                        |
 * |----------|-----------------|--------------------------------------------------------------------------------|
 * | started  | open            | RUNNING; over an earlier attempt that never ended: one crash more              |
 * | started  | settled         | stays; the worker is told to stop                                              |
 * | progress | RUNNING, same attempt | fraction and partial result                                              |
 * | result   | open            | DONE, once, whichever attempt brings it; else dropped                          |
 * | error    | open, same attempt | QUEUED again while its budget lasts and trying again can help, else FAILED  |
 * | returned | open, same attempt | QUEUED again at no cost; the worker itself put its entry back               |
 *
 * Crashes (a lost worker, a dead process) have a budget of their own, apart from the attempts that ended in an error.
 */
export async function acceptMessage(
  trx: DatabaseTransaction,
  workerId: string,
  message: OutboxMessage,
  verdict: Verdict
): Promise<void> {
  switch (message.type) {
    case 'started':
      return await acceptStarted(trx, workerId, message, verdict)
    case 'progress':
      return await acceptProgress(trx, message, verdict)
    case 'result':
      return await acceptResult(trx, workerId, message, verdict)
    case 'error':
      return await acceptError(trx, message, verdict)
    case 'returned':
      return await acceptReturned(trx, message, verdict)
    case 'log':
      return await keepLog(trx, message)
    case 'registered':
      return await acceptRegistered(trx, workerId, message)
  }
}

type Message<T extends OutboxMessage['type']> = Extract<OutboxMessage, { type: T }>

async function acceptRegistered(
  trx: DatabaseTransaction,
  workerId: string,
  { tasks }: Message<'registered'>
): Promise<void> {
  await trx
    .updateTable('workers')
    .set({ tasks: JSON.stringify(tasks), tasks_at: sql<Date>`now()` })
    .where('id', '=', workerId)
    .execute()
}

async function acceptStarted(
  trx: DatabaseTransaction,
  workerId: string,
  { unitId, attemptId, slot }: Message<'started'>,
  verdict: Verdict
): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set(eb => ({
      status: 'RUNNING',
      crashes: sql<number>`crashes + (status = 'RUNNING' and attempt_id is distinct from ${attemptId})::integer`,
      attempt_id: attemptId,
      worker_id: workerId,
      slot,
      fraction: 0,
      partial: null,
      // Both times are the database's own: no clock of another machine is asked.
      waited_ms: sql<number>`extract(epoch from now() - queued_at) * 1000`,
      started_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now')
    }))
    .where('id', '=', unitId)
    .where('status', 'in', OPEN_UNIT)
    .returningAll()
    .executeTakeFirst()
  if (!unit) {
    verdict.stop.push({ id: unitId, worker_id: workerId })
    return
  }
  verdict.changed.add(unit.job_id)
  if (unit.crashes < MAX_CRASHES) return
  verdict.stop.push({ id: unitId, worker_id: workerId })
  await failUnit(trx, unit, poison(unit), verdict)
}

async function acceptProgress(
  trx: DatabaseTransaction,
  { unitId, attemptId, fraction, partial }: Message<'progress'>,
  verdict: Verdict
): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set({
      fraction: sql<number>`greatest(fraction, ${fraction}::real)`,
      partial: partial === undefined ? null : JSON.stringify(partial),
      touched_at: sql<Date>`now()`
    })
    .where('id', '=', unitId)
    .where('attempt_id', '=', attemptId)
    .where('status', '=', 'RUNNING')
    .returning('job_id')
    .executeTakeFirst()
  if (unit) verdict.changed.add(unit.job_id)
}

async function acceptResult(
  trx: DatabaseTransaction,
  workerId: string,
  { unitId, attemptId, slot, output, timings }: Message<'result'>,
  verdict: Verdict
): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set(eb => ({
      status: 'DONE',
      output: JSON.stringify(output),
      timings: sql<string>`${JSON.stringify(timings)}::jsonb || jsonb_build_object('waited', coalesce(waited_ms, 0))`,
      attempt_id: attemptId,
      worker_id: workerId,
      slot,
      fraction: 1,
      partial: null,
      error: null,
      started_at: sql<Date>`coalesce(started_at, now())`,
      finished_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now')
    }))
    .where('id', '=', unitId)
    .where('status', 'in', OPEN_UNIT)
    .returningAll()
    .executeTakeFirst()
  if (!unit) return
  verdict.changed.add(unit.job_id)
  verdict.done.push({ unit, timings: unit.timings ?? timings })
}

async function acceptError(trx: DatabaseTransaction, message: Message<'error'>, verdict: Verdict): Promise<void> {
  const unit = await openAttempt(trx, message)
  if (!unit) return
  const crashed = CRASH_CODES.has(message.error.code)
  const attempts = unit.attempts + (crashed ? 0 : 1)
  const crashes = unit.crashes + (crashed ? 1 : 0)
  const spent = { ...unit, attempts, crashes, error: message.error }
  const again = message.retryable && ERRORS[message.error.code].retryable
  if (again && attempts < MAX_ATTEMPTS && crashes < MAX_CRASHES) {
    await requeue(trx, unit, { attempts, crashes, error: JSON.stringify(message.error) }, verdict)
  } else {
    await failUnit(trx, spent, crashed ? poison(spent) : message.error, verdict)
  }
}

async function acceptReturned(
  trx: DatabaseTransaction,
  { unitId, attemptId }: Message<'returned'>,
  verdict: Verdict
): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set(eb => ({
      status: 'QUEUED',
      attempt_id: null,
      fraction: 0,
      partial: null,
      queued_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now')
    }))
    .where('id', '=', unitId)
    .where('status', '=', 'RUNNING')
    .where('attempt_id', '=', attemptId)
    .returning('job_id')
    .executeTakeFirst()
  if (unit) verdict.changed.add(unit.job_id)
}

/** The open unit that this attempt still owns, locked; undefined: another attempt took over, or the unit is settled. */
async function openAttempt(
  trx: DatabaseTransaction,
  { unitId, attemptId }: { unitId: string; attemptId: string }
): Promise<UnitRow | undefined> {
  return await trx
    .selectFrom('units')
    .selectAll()
    .where('id', '=', unitId)
    .where('status', 'in', OPEN_UNIT)
    .where('attempt_id', '=', attemptId)
    .forUpdate()
    .executeTakeFirst()
}
