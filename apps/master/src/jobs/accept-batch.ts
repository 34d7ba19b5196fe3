import { type AttemptMessage, isOfAttempt, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { DatabaseTransaction } from '../database/schema.ts'
import { acceptMessage, type SingleMessage } from './accept.ts'
import { acceptResults, acceptReturns, acceptStarts, type Result, type Return, type Start } from './accept-many.ts'
import { acceptRegistrations } from './accept-registrations.ts'
import { keepLogs, type LogSaid } from './keep-logs.ts'
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
 * Applies a batch. Units are independent of each other: the first messages of all of them are taken together, then the second
 * ones, and so on; starts, results, returns and log lines in one statement each, whatever else there is by itself. Log lines
 * of a unit that follow each other are one step. An attempt that succeeded is its result alone; its log lines come before
 * that, after which they count no more.
 */
export async function acceptBatch(
  trx: DatabaseTransaction,
  batch: Said[],
  verdict: Verdict,
  holds: Holds
): Promise<void> {
  const logs: LogSaid[] = []
  let units: AttemptSaid[][] = []
  for (const said of Map.groupBy(batch.filter(isAttempt), ({ message }) => message.unitId).values()) {
    const result = resultOf(said)
    units.push(result ? [result] : said)
    if (result) logs.push(...said.filter(isLog))
  }
  await keepLogs(trx, logs, holds)
  while (units.length > 0) {
    await acceptOfEach(trx, units.flatMap(takeNext), verdict, holds)
    units = units.filter(said => said.length > 0)
  }
  // Last: they wait for those of other masters, who by then wait for nothing of this batch.
  await acceptRegistrations(trx, batch, verdict)
}

/** Takes off the next message of a unit, or its next log lines. */
function takeNext(said: AttemptSaid[]): AttemptSaid[] {
  const lines = said.findIndex(one => !isLog(one))
  return said.splice(0, lines === -1 ? said.length : Math.max(1, lines))
}

/** One message of each unit, or some of its log lines. */
async function acceptOfEach(
  trx: DatabaseTransaction,
  said: AttemptSaid[],
  verdict: Verdict,
  holds: Holds
): Promise<void> {
  const starts: Start[] = []
  const results: Result[] = []
  const returns: Return[] = []
  const logs: LogSaid[] = []
  const others: Single[] = []
  for (const one of said) {
    const { workerId, message } = one
    const ageMs = one.readMs === undefined ? 0 : performance.now() - one.readMs
    const isHeld = holds(workerId, message.unitId)
    if (message.type === 'started') starts.push({ workerId, ...message, isHeld, ageMs })
    else if (message.type === 'result') results.push({ workerId, ...message, isHeld, ageMs })
    else if (message.type === 'returned') returns.push({ workerId, ...message, isHeld })
    else if (message.type === 'log') logs.push({ workerId, message })
    else others.push({ workerId, message })
  }
  await acceptStarts(trx, starts, verdict)
  await acceptResults(trx, results, verdict)
  await acceptReturns(trx, returns, verdict)
  await keepLogs(trx, logs, holds)
  for (const { workerId, message } of others) await acceptMessage(trx, workerId, message, verdict)
}

type AttemptSaid = Said & { message: AttemptMessage }
type Single = Pick<Said, 'workerId'> & { message: SingleMessage }

function isAttempt(said: Said): said is AttemptSaid {
  return isOfAttempt(said.message)
}

function isLog(said: AttemptSaid): said is AttemptSaid & LogSaid {
  return said.message.type === 'log'
}

/** The result of one attempt from its start to its end, with or without its start; what it said of its progress is past. */
function resultOf(all: AttemptSaid[]): AttemptSaid | undefined {
  const said = all.filter(one => !isLog(one))
  const last = said.at(-1)
  if (last?.message.type !== 'result') return undefined
  const { attemptId } = last.message
  const isOneAttempt = said
    .slice(0, -1)
    .every(
      ({ message }, at) =>
        message.attemptId === attemptId && (message.type === 'progress' || (message.type === 'started' && at === 0))
    )
  return isOneAttempt ? last : undefined
}
