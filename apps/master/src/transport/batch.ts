import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { Said } from '../jobs/accept-batch.ts'
import type { Parsed } from './parse-outbox.ts'
import { MOST_READ } from './read-outboxes.ts'

/** What was read of one worker's outbox, and is to be applied. */
export interface Pending extends Parsed {
  workerId: string
}

/** Messages of one transaction. */
const MOST_APPLIED = 2_000

/** What is applied together: the first MOST_READ entries, or fewer that have MOST_APPLIED messages; one at least. */
export function firstOf(pending: Pending[]): Pending[] {
  let messages = 0
  const end = pending.findIndex((one, at) => {
    messages += one.messages.length
    return at === MOST_READ || (at > 0 && messages > MOST_APPLIED)
  })
  // A copy: what is read meanwhile is added to `pending`.
  return pending.slice(0, end === -1 ? pending.length : end)
}

/** The messages of a batch, in order; of several registrations of a worker the last one. */
export function toApply(batch: Pending[]): Said[] {
  const said = batch.flatMap(({ workerId, messages }) => messages.map(message => ({ workerId, message })))
  const last = new Map(said.filter(isRegistration).map(one => [one.workerId, one]))
  return said.filter(one => !isRegistration(one) || last.get(one.workerId) === one)
}

function isRegistration({ message }: Said): boolean {
  return message.type === 'registered'
}

/** The unit that the message ends an attempt at, if any. */
export function settledBy(message: OutboxMessage): string[] {
  return message.type === 'result' || message.type === 'error' || message.type === 'returned' ? [message.unitId] : []
}
