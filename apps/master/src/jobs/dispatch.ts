/**
 * DESIGN: which units are in Redis. PostgreSQL knows every unit; of each queue only its head is in Redis: twice the
 * entries for each slot that serves it, and what was finished there in the last second. A third of that worked off brings the
 * next round, so that slots never wait for it. What a worker has counts no more, whether it has begun or not.
 *
 *   unit queued again ----wake(queue)---\
 *   units new ------------added(units)---+--> round: markHead -> addEntries
 *   units finished -------refill(queue)-/                            ^
 *   single unit that an idle slot waits for --send(unit)-------------/
 *
 * Which queue has the next round says `rounds.ts`. A queue that no worker serves has none, and nothing in
 * Redis. Those that `queues-to-look-at.ts` finds have one of their own, behind those that were woken.
 */

import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Database, UnitRow } from '../database/schema.ts'
import type { OpenQueues } from '../queues/open-queues.ts'
import { entryOf } from '../queues/queue-entry.ts'
import { queuePriority } from '../queues/queue-order.ts'
import { addEntries, removeEntries } from '../queues/queues.ts'
import { createHeadRoom } from './head-room.ts'
import type { Pace } from './pace.ts'
import { createQueuesToLookAt } from './queues-to-look-at.ts'
import { startRounds } from './rounds.ts'
import { endedOf, entriesInUse, markHead, type SentUnit, unmark } from './send-next.ts'
import { entriesOf, type Placed, toPayload } from './sent-entries.ts'

export interface Dispatch {
  /** Units of these queues wait: has a round at once. */
  wake(queues: Iterable<string>): void
  /** These are new: has a round at once, unless they lie behind a full head. */
  added(units: Place[]): void
  /** A unit of the queue was finished: once a good part of its head is, there is a round. */
  refill(queue: string): void
  /** Puts a unit into Redis whose entry is named already, without a round; the reconciler does it should this fail. */
  send(unit: SentUnit): void
  /** Puts rows into Redis that were sent and may have been lost there; those that are there stay as they are. */
  sendAgain(units: SentUnit[]): Promise<void>
  /** Takes ended units that no slot has out of their queues; what others share an entry with stays. */
  withdraw(units: SentUnit[]): Promise<void>
  /**
   * Takes the entries of open units out of their queues; answers the units that no slot has. Should nothing be done with
   * them, the reconciler sends them again.
   */
  takeBack<T extends SentUnit>(units: T[]): Promise<T[]>
  /** Takes units that wait out of Redis, where nobody comes for them; a round puts them back when somebody does. */
  unsend(units: Placed[]): Promise<void>
  close(): Promise<void>
}

/** Where a unit stands. */
type Place = Pick<UnitRow, 'queue' | 'priority' | 'rank'>

export interface DispatchDeps {
  db: Database
  redis: Redis
  queues: OpenQueues
  log: Logger
  /** Entries of this queue are in Redis. */
  onQueued(name: string): void
  /** One entry, of a unit that was to be sent without a round. */
  onQueuedOne(name: string): void
  /** How many slots of online workers serve a queue. */
  slotsOf(queue: string): number
  /** Whether a known worker serves a queue, also one that is away. */
  isKnown(queue: string): boolean
  /** Whether a slot is idle that would take an entry of this queue, as far as this master knows. */
  isAwaited(queue: string): boolean
  /** Entries of a queue that workers hold: they are in its way no more. */
  takenFrom(queue: string): string[]
  pace: Pace
}

const HEAD_LEAST = 8
const HEAD_MOST = 2_000
const ENTRIES_OF_A_SLOT = 2
/** Of a small head this part is worked off before the next round, which reads all of it; */
const REFILL_SHARE = 1 / 3
/** of a large one all but so many times the least. */
const LEFT_AT_REFILL = 2

export function createDispatch({
  db,
  redis,
  queues,
  log,
  onQueued,
  onQueuedOne,
  slotsOf,
  isKnown,
  isAwaited,
  takenFrom,
  pace
}: DispatchDeps): Dispatch {
  /** Of each queue, how many units may finish before its next round; where nothing else waits, all of them. */
  const untilRefill = new Map<string, number>()
  /** Of each queue with a full head the last place in it. */
  const ends = new Map<string, Omit<Place, 'queue'>>()
  const room = createHeadRoom({ db, redis })
  /** By slots, or by workers that drain or are away: when they come, the best of all their queues is to go first. */
  const isServed = (name: string): boolean => slotsOf(name) > 0 || isKnown(name)
  const onKnown = (known: ReadonlySet<string>): void => {
    for (const names of [ends, untilRefill]) for (const name of names.keys()) if (!known.has(name)) names.delete(name)
  }
  const queuesToLookAt = createQueuesToLookAt({ db, queues, room, isServed, isAwaited, onKnown })

  async function round(name: string): Promise<void> {
    const slots = slotsOf(name)
    const least = Math.max(HEAD_LEAST, ENTRIES_OF_A_SLOT * slots * pace.togetherIn(name))
    const most = Math.min(HEAD_MOST, least + pace.recentOf(name))
    // What becomes known while it is read may not be in it.
    ends.delete(name)
    const { units, before, bytes, end, isAll } = await markHead(db, name, {
      most,
      together: pace.together(),
      slots,
      taken: takenFrom(name),
      mostBytes: room.of(name, isAwaited)
    })
    room.has(name, bytes)
    const size = before + units.length
    const worked = Math.floor(Math.max(REFILL_SHARE * size, size - LEFT_AT_REFILL * least))
    untilRefill.set(name, isAll ? Number.POSITIVE_INFINITY : worked)
    if (end) ends.set(name, end)
    if (units.length > 0) await add(name, units)
  }

  /** `isTakenAtOnce`: a slot waits for the one entry that this is. */
  async function add(name: string, units: SentUnit[], isTakenAtOnce = false): Promise<void> {
    const queue = queues.get(name)
    const entries = entriesOf(units)
    const adding = addEntries(
      queue,
      entries.map(([, [first, ...rest]]) => entryOf([toPayload(first), ...rest.map(toPayload)])),
      {
        jobIds: entries.map(([id]) => id),
        priorities: entries.map(([, [first]]) => queuePriority(first.priority, first.rank))
      }
    )
    // Behind it over the same connection: the one who takes it does not wait for it to be there.
    if (isTakenAtOnce) onQueuedOne(name)
    await adding
    if (!isTakenAtOnce) onQueued(name)
    // Another master may have ended them between their mark and now.
    const ended = new Set(await endedOf(db, units))
    const past = entries.filter(([, rows]) => rows.every(row => ended.has(row)))
    if (past.length > 0)
      await removeEntries(
        queue,
        past.map(([id]) => id)
      )
  }

  const rounds = startRounds({
    round,
    // Who matches slots and entries looks at open ones alone.
    open: name => void queues.get(name),
    // What nobody takes stays where it is.
    isServed: name => isServed(name) || isAwaited(name),
    queuesToLookAt,
    log
  })

  function isInHead({ queue, priority, rank }: Place): boolean {
    const end = ends.get(queue)
    return end === undefined || priority > end.priority || (priority === end.priority && rank < end.rank)
  }

  async function takeBack<T extends Placed>(units: T[]): Promise<T[]> {
    await rounds.last()
    const held = new Set<string>()
    for (const [name, rows] of Map.groupBy(units, unit => unit.queue)) {
      const ids = entriesOf(rows).map(([id]) => id)
      for (const id of await removeEntries(queues.get(name), ids)) held.add(id)
    }
    return units.filter(({ entry }) => entry === null || !held.has(entry))
  }

  return {
    wake: rounds.wake,
    added: units => {
      rounds.wake(units.filter(isInHead).map(({ queue }) => queue))
    },
    refill: queue => {
      const left = (untilRefill.get(queue) ?? 0) - 1
      untilRefill.set(queue, left)
      if (left > 0) return
      rounds.wake([queue])
    },
    send: unit => {
      add(unit.queue, [unit], true).catch(error => log.debug({ err: error, unitId: unit.id }, 'sending a unit failed'))
    },
    sendAgain: async units => {
      for (const [name, rows] of Map.groupBy(units, unit => unit.queue)) await add(name, rows)
    },
    withdraw: async units => {
      // One that was marked just before it ended is on its way.
      await rounds.last()
      const needed = await entriesInUse(db, units)
      for (const [name, rows] of Map.groupBy(units, unit => unit.queue)) {
        const ids = entriesOf(rows).map(([id]) => id)
        await removeEntries(
          queues.get(name),
          ids.filter(id => !needed.has(id))
        )
      }
      // What was behind them goes next.
      rounds.wake(new Set(units.map(unit => unit.queue)))
    },
    takeBack,
    unsend: async units => {
      if (units.length > 0) await unmark(db, await takeBack(units))
    },
    close: rounds.close
  }
}
