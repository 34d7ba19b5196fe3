/**
 * DESIGN: free slots meet waiting entries. A round is held whenever either may have come: a want, new entries of a queue (of
 * this master's dispatcher at once, of another's by QUEUED_CHANNEL), entries that were given back; and every LOOK_MS, should
 * a message be lost. Rounds follow each other; whatever comes during one brings another. A single unit that comes while a
 * slot is idle goes there without a round: one question less to Redis.
 *
 *   wants that stand  +  heads of their queues  -->  who gets which  -->  take, sign, inbox
 *
 * The best priority goes first, of equal ones the most demanding queue of the slot; of several slots of a worker the one that
 * waits longest. What is taken for a want that does not stand any more goes back.
 */
import type { UnitsMessage } from '@sc/shared/inbox-message.ts'
import type { SlotWant } from '@sc/shared/outbox-message.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { QUEUED_CHANNEL } from '../queues/keys.ts'
import type { OpenQueues } from '../queues/open-queues.ts'
import { giveBack, headBands, type TakenEntry, takeEntry, type UnitQueue } from '../queues/queues.ts'
import type { GivenOnce } from './given-once.ts'
import { sendInbox } from './inbox.ts'
import { isBusy, type Links, type ServedLink, type StandingWant } from './links.ts'
import type { Tickets } from './tickets.ts'

/** Nobody waits so long: whoever adds or asks says so. */
export const LOOK_MS = 500

export interface Matcher {
  /** Wants or entries may have come. */
  wake(): void
  /** Entries came into this queue: wakes every master. */
  queued(name: string): void
  /** Whether a slot is idle that would take an entry of this queue. */
  isAwaited(name: string): boolean
  /** One entry came into this queue, for which a slot seemed to wait: it goes there without a round, if one does. */
  queuedOne(name: string): void
  stop(): Promise<void>
}

export interface MatchDeps {
  redis: Redis
  /** A connection of its own, to listen on. */
  subscriber: Redis
  queues: OpenQueues
  links: Links
  /** Whether a worker shows itself: one that does not gets nothing. */
  isPresent(workerId: string): boolean
  tickets: Tickets
  /** Of units that must not run twice. */
  givenOnce: GivenOnce
  log: Logger
}

interface Chosen {
  link: ServedLink
  want: SlotWant
  queue: UnitQueue
}

export async function startMatching(deps: MatchDeps): Promise<Matcher> {
  const { redis, subscriber, queues, links, log } = deps
  const standing = (): StandingWant[] => links.standing().filter(({ link }) => deps.isPresent(link.workerId))
  let isWoken = false
  /** Queues with one new entry each, since the last round. */
  const single: string[] = []
  let stopping = false
  let wakeUp = (): void => {}

  async function round(): Promise<void> {
    const wants = standing()
    if (wants.length === 0) return
    // What nobody has ever put a unit into need not be looked at, whatever a worker asks for.
    const names = queues.names().filter(name => wants.some(({ places }) => places.has(name)))
    if (names.length === 0) return
    const bands = await headBands(redis, names, wants.length)
    if (bands.size === 0) return
    const chosen = choose(wants, bands)
    const taken = await Promise.all(chosen.map(({ queue, ...one }) => give(deps, { ...one, queue: queues.get(queue) })))
    // Another master took some of them. Where nothing at all is to be had (a queue is paused), it looks again later.
    if (taken.includes(true) && taken.includes(false)) isWoken = true
  }

  /** An idle slot has stood since the last round, which found nothing for it: nothing else can be before this entry. */
  async function giveOne(name: string): Promise<void> {
    const idle = standing().find(one => !isBusy(one) && one.places.has(name))
    if (!idle || !(await give(deps, { ...idle, queue: queues.get(name) }))) queued(name)
  }

  const running = (async () => {
    while (!stopping) {
      const [only, ...more] = single.splice(0)
      const step = isWoken || only === undefined || more.length > 0 ? round : () => giveOne(only)
      isWoken = false
      await step().catch(error => log.debug({ err: error }, 'matching slots and units failed; trying again'))
      if (isWoken || single.length > 0 || stopping) continue
      const { promise, resolve } = Promise.withResolvers<void>()
      wakeUp = resolve
      const timer = setTimeout(resolve, LOOK_MS)
      await promise
      clearTimeout(timer)
    }
  })()

  function wake(): void {
    isWoken = true
    wakeUp()
  }

  function queued(name: string): void {
    wake()
    redis.publish(QUEUED_CHANNEL, name).catch(() => {})
  }

  subscriber.on('message', (_, name) => {
    queues.get(name)
    wake()
  })
  await subscriber.subscribe(QUEUED_CHANNEL)

  return {
    wake,
    queued,
    isAwaited: name => standing().some(one => !isBusy(one) && one.places.has(name)),
    queuedOne: name => {
      single.push(name)
      wakeUp()
    },
    stop: async () => {
      stopping = true
      wakeUp()
      await running
    }
  }
}

/** Which want gets an entry of which queue: each entry once. `bands`: of each queue those of its first entries, in order. */
export function choose(
  wants: StandingWant[],
  bands: ReadonlyMap<string, number[]>
): Array<Pick<StandingWant, 'link' | 'want'> & { queue: string }> {
  const heads = [...bands].map(([queue, left]) => ({ queue, left: [...left] }))
  return wants.flatMap(({ link, want, places }) => {
    const placeOf = ({ queue }: { queue: string }): number => places.get(queue) ?? Number.POSITIVE_INFINITY
    const [best] = heads
      .filter(({ queue, left }) => left.length > 0 && places.has(queue))
      .sort((a, b) => (a.left[0] as number) - (b.left[0] as number) || placeOf(a) - placeOf(b))
    if (!best) return []
    best.left.shift()
    return [{ link, want, queue: best.queue }]
  })
}

/** False: there was nothing to take, or nobody to take it any more. */
async function give(deps: MatchDeps, { link, want, queue }: Chosen): Promise<boolean> {
  const { redis, links, tickets, givenOnce, log } = deps
  const { workerId } = link
  const taken = await takeEntry(queue, workerId)
  if (!taken) return false
  // Somebody had it before, and it must not run twice: what is behind it goes next.
  if (!(await givenOnce.mark(taken, workerId))) return await give(deps, { link, want, queue })
  if (!links.isServed(link) || !link.isStanding(want)) {
    await givenOnce.unmark(taken)
    await giveBack(taken)
    return false
  }
  link.take(want, taken)
  await sendInbox(redis, workerId, toMessage(tickets, workerId, want, taken)).catch(error =>
    log.debug({ err: error, workerId }, 'an entry did not reach its worker; it is given back when no sign of it comes')
  )
  return true
}

function toMessage(tickets: Tickets, workerId: string, { slot, want }: SlotWant, taken: TakenEntry): UnitsMessage {
  const { units, queue, jobId: entry, isAgain } = taken
  const [first, ...more] = units
  return {
    type: 'units',
    slot,
    want,
    entry,
    queue: queue.name,
    ticket: tickets.entry(workerId, queue.name, entry),
    isAgain,
    first,
    more: more.map(({ unitId, index, params }) => ({ unitId, index, params })),
    tickets: units.map(({ unitId }) => tickets.unit(workerId, unitId))
  }
}
