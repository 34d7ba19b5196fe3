/**
 * DESIGN: which of what was read is applied together, in one transaction. Each worker has a queue of its own, and they take
 * turns: what one wrote costs the others no more than its share of each batch, whatever it is.
 *
 *   queue of a worker:  piece, piece, …  --at most SHARE of weight--\
 *   queue of another:   piece, …         --the same-----------------+--> one batch of at most MOST_WEIGHT
 *
 * A start, a result, a return and a log line are applied many at a time; each other message is a statement of its own, and
 * weighs more. Of one unit everything goes step by step, each a round of statements that all wait for: of a unit a batch has
 * few, whoever said them, and the rest goes with the next.
 * A large message weighs more by its size, so that no share has much JSON for PostgreSQL to read.
 */
import { isOfAttempt, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { Said } from '../jobs/accept-batch.ts'
import { sizeOf } from '../jobs/size-of.ts'
import { isOutcome } from '../jobs/unsettled.ts'
import type { Parsed } from './parse-outbox.ts'

/** Some of what was read of one worker's outbox. Its `ids` are deleted with it: they are those of its last piece. */
export interface Piece extends Parsed {
  weight: number
  /** Of each unit, how many messages follow each other; log lines that do count as one. */
  steps: Map<string, number>
  /** When it was read, by `performance.now()`. */
  readMs: number
}

const MOST_WEIGHT = 2_000
const SHARE = 1_000
const STATEMENT_WEIGHT = 125
/** Of one piece: so much can be applied at once whatever else waits. */
const PIECE_WEIGHT = 400
/** In characters of JSON: what adds one to the weight of a message. Most messages have less. */
const SIZE_OF_WEIGHT = 1_000
/** What a message has beyond this does not count: a share of its own is enough, and leaves the others theirs. */
const MOST_SIZE = SHARE * SIZE_OF_WEIGHT
/** Messages of one unit that are taken together with those of others: its start, its progress, its end. */
const TOGETHER = 3
/** Of one unit in a batch: more than an attempt has that logs, tells of its progress and fails. */
const MOST_STEPS = 6

/** Cuts what was read into pieces. */
export function toPieces({ ids, messages }: Parsed, readMs: number): Piece[] {
  const pieces: Piece[] = []
  const begin = (): Piece => ({ ids: [], messages: [], weight: 0, steps: new Map(), readMs })
  let piece = begin()
  let counts = new Map<string, number>()
  let logging = new Set<string>()
  for (const message of messages) {
    const weight = Math.min(SHARE, weightOf(message, counts) + Math.floor(sizeOf(message, MOST_SIZE) / SIZE_OF_WEIGHT))
    const isFull = piece.weight + weight > PIECE_WEIGHT || stepsWith(message, piece, logging) > MOST_STEPS
    if (piece.messages.length > 0 && isFull) {
      pieces.push(piece)
      piece = begin()
      counts = new Map()
      logging = new Set()
    }
    if (isOfAttempt(message)) {
      piece.steps.set(message.unitId, stepsWith(message, piece, logging))
      if (message.type === 'log') logging.add(message.unitId)
      else logging.delete(message.unitId)
    }
    piece.messages.push(message)
    piece.weight += weight
  }
  return [...pieces, { ...piece, ids }]
}

/** Of the message's unit, with the message. */
function stepsWith(message: OutboxMessage, { steps }: Piece, logging: ReadonlySet<string>): number {
  if (!isOfAttempt(message)) return 0
  const before = steps.get(message.unitId) ?? 0
  return message.type === 'log' && logging.has(message.unitId) ? before : before + 1
}

function weightOf(message: OutboxMessage, counts: Map<string, number>): number {
  if (!isOfAttempt(message)) return STATEMENT_WEIGHT
  // However many follow each other, they are one statement.
  if (message.type === 'log') return 1
  const count = (counts.get(message.unitId) ?? 0) + 1
  counts.set(message.unitId, count)
  if (count > TOGETHER) return STATEMENT_WEIGHT
  return message.type === 'started' || message.type === 'result' || message.type === 'returned' ? 1 : STATEMENT_WEIGHT
}

export interface Share {
  workerId: string
  pieces: Piece[]
}

/** The shares of one batch: of each worker the first pieces of its queue, in order; in the order of `queues`. */
export function nextBatch(queues: Iterable<[workerId: string, pieces: Piece[]]>): Share[] {
  const batch: Share[] = []
  const steps = new Map<string, number>()
  let left = MOST_WEIGHT
  for (const [workerId, queue] of queues) {
    if (left <= 0) break
    let share = Math.min(SHARE, left)
    const pieces: Piece[] = []
    for (const piece of queue) {
      share -= piece.weight
      if ((share < 0 && pieces.length > 0) || !addSteps(steps, piece)) break
      pieces.push(piece)
    }
    if (pieces.length === 0) continue
    batch.push({ workerId, pieces })
    left -= pieces.reduce((sum, { weight }) => sum + weight, 0)
  }
  return batch
}

/** False: it would be too many of some unit. */
function addSteps(all: Map<string, number>, { steps }: Piece): boolean {
  const sums = [...steps].map(([unitId, count]) => [unitId, (all.get(unitId) ?? 0) + count] as const)
  if (sums.some(([, sum]) => sum > MOST_STEPS)) return false
  for (const [unitId, sum] of sums) all.set(unitId, sum)
  return true
}

/** The messages of a batch, in order; of a worker's registrations the last one, and of what it says of a unit's progress. */
export function toApply(batch: Share[]): Said[] {
  return batch.flatMap(({ workerId, pieces }) => {
    const all = pieces.flatMap(({ messages, readMs }) => messages.map(message => ({ workerId, message, readMs })))
    const last = all.findLast(isRegistration)
    const fresh = new Set(withoutStale(all.map(({ message }) => message)))
    return all.filter(one => fresh.has(one.message) && (!isRegistration(one) || one === last))
  })
}

function isRegistration({ message }: Said): boolean {
  return message.type === 'registered'
}

/** The unit that the message ends an attempt at, if any. */
export function settledBy(message: OutboxMessage): string[] {
  return isOutcome(message) ? [message.unitId] : []
}

/** Of several states of one worker the last one says all; of the progress of a unit the last one counts. */
export function withoutStale(messages: OutboxMessage[]): OutboxMessage[] {
  const last = new Map<string, OutboxMessage>()
  for (const message of messages) last.set(kindOf(message), message)
  return messages.filter(message => !isSuperseded(message) || last.get(kindOf(message)) === message)
}

function isSuperseded({ type }: OutboxMessage): boolean {
  return type === 'state' || type === 'progress'
}

function kindOf(message: OutboxMessage): string {
  return message.type === 'progress' ? `progress ${message.unitId}` : message.type
}
