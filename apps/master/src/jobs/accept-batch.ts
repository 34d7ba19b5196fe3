import { type AttemptMessage, isOfAttempt, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { DatabaseTransaction } from '../database/schema.ts'
import { acceptMessage } from './accept.ts'
import { acceptResults, acceptReturns, acceptStarts, type Result, type Return, type Start } from './accept-many.ts'
import { acceptRegistrations } from './accept-registrations.ts'
import type { Verdict } from './verdict.ts'

export interface Said {
  workerId: string
  message: OutboxMessage
  /** When it was read, by `performance.now()`: it may have waited for PostgreSQL since. Left out: just now. */
  readMs?: number
}

/** Whether a worker holds a unit just now, as far as this master knows. */
export type Holds = (workerId: string, unitId: string) => boolean

/**
 * Applies a batch. Units are independent of each other, so those of which the batch holds nothing but an attempt's
 * beginning, an attempt that succeeded or one that was given back, are taken together; whatever else there is, message by
 * message. Log lines come before an attempt's end, after which they count no more.
 */
export async function acceptBatch(
  trx: DatabaseTransaction,
  batch: Said[],
  verdict: Verdict,
  holds: Holds
): Promise<void> {
  const starts: Start[] = []
  const results: Result[] = []
  const returns: Return[] = []
  const logs: Said[] = []
  const others: Said[] = []
  for (const all of Map.groupBy(batch, unitOf).values()) {
    const said = all.filter(one => !isLog(one))
    const start = asStart(said, holds)
    const result = asResult(said)
    const returned = asReturn(said, holds)
    if (start) starts.push(start)
    else if (result) results.push(result)
    else if (returned) returns.push(returned)
    else others.push(...(said.length > 0 ? all : []))
    if (start || result || returned || said.length === 0) logs.push(...all.filter(isLog))
  }
  await acceptStarts(trx, starts, verdict)
  for (const { workerId, message } of logs) await acceptMessage(trx, workerId, message, verdict, holds)
  await acceptResults(trx, results, verdict)
  await acceptReturns(trx, returns, verdict)
  for (const { workerId, message } of others) await acceptMessage(trx, workerId, message, verdict, holds)
  // Last: they wait for those of other masters, who by then wait for nothing of this batch.
  await acceptRegistrations(trx, batch, verdict)
}

function isLog({ message }: Said): boolean {
  return message.type === 'log'
}

/** Messages of no unit each stand for themselves. */
function unitOf({ message }: Said): string | Said['message'] {
  return isOfAttempt(message) ? message.unitId : message
}

function asStart(said: Said[], holds: Holds): Start | undefined {
  const [only] = said
  if (said.length > 1 || only?.message.type !== 'started') return undefined
  const { unitId, attemptId, slot } = only.message
  const { workerId } = only
  return { workerId, unitId, attemptId, slot, isHeld: holds(workerId, unitId), ageMs: ageMsOf(only) }
}

function asReturn(said: Said[], holds: Holds): Return | undefined {
  const [only] = said
  if (said.length > 1 || only?.message.type !== 'returned') return undefined
  const { unitId, attemptId, entry, hasBegun } = only.message
  const { workerId } = only
  return { workerId, unitId, attemptId, entry, hasBegun, isHeld: holds(workerId, unitId) }
}

/** One attempt to its end, with or without its start; what it said of its progress is past. */
function asResult(said: Said[]): Result | undefined {
  const last = said.at(-1)
  if (last?.message.type !== 'result') return undefined
  const { unitId, attemptId, slot, output, timings } = last.message
  const before = said.slice(0, -1).map(({ message }) => message as AttemptMessage)
  const isOneAttempt = before.every(
    ({ type, attemptId: other }, at) => other === attemptId && (type === 'progress' || (type === 'started' && at === 0))
  )
  if (!isOneAttempt) return undefined
  return { workerId: last.workerId, unitId, attemptId, slot, output, timings, ageMs: ageMsOf(last) }
}

function ageMsOf({ readMs }: Said): number {
  return readMs === undefined ? 0 : performance.now() - readMs
}
