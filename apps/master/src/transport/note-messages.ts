import { isOfAttempt, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { Timings } from '@sc/shared/unit.ts'
import { settledBy } from './batch.ts'
import type { HeldEntry, ServedLink } from './links.ts'
import type { Gravity } from './parse-outbox.ts'
import type { Tickets } from './tickets.ts'

export interface NotesDeps {
  tickets: Tickets
  /** A process of a worker says that it is there. */
  onHello(workerId: string, hello: Extract<OutboxMessage, { type: 'hello' }>): void
  /** Slots ask. */
  onWants(): void
  /** A worker holds entries that this master did not give it. */
  onUnknown(link: ServedLink, holding: Parameters<ServedLink['state']>[0]['holding']): void
  onLost(link: ServedLink, lost: HeldEntry[]): void
  /** Something that no worker of ours writes. */
  onRefused(workerId: string, reason: string, gravity: Gravity): void
}

/** Of one worker in a second; far more than one of ours writes. */
const MOST_STATES = 20
const MOST_HELLOS = 2
/** Of units that it does not hold; results beside. One of ours has such for a moment, after an outage. */
const MOST_OF_OTHERS = 20
const SECOND_MS = 1_000

/** Takes note of each message as it is read, in memory; answers whether it is to be applied in PostgreSQL, too. */
export function createNotes(deps: NotesDeps): (link: ServedLink, message: OutboxMessage) => boolean {
  const counts = new WeakMap<ServedLink, { sinceMs: number; states: number; hellos: number; others: number }>()

  function countOf(link: ServedLink) {
    const nowMs = performance.now()
    let count = counts.get(link)
    if (!count || nowMs - count.sinceMs > SECOND_MS) {
      count = { sinceMs: nowMs, states: 0, hellos: 0, others: 0 }
      counts.set(link, count)
    }
    return count
  }

  function isTooOften(link: ServedLink, { type }: OutboxMessage): boolean {
    if (type === 'state') return ++countOf(link).states > MOST_STATES
    return type === 'hello' && ++countOf(link).hellos > MOST_HELLOS
  }

  /** Whether it changes nothing, said of a unit that the worker does not hold: PostgreSQL is not asked. */
  function isIdle(link: ServedLink, { type }: OutboxMessage): boolean {
    // The next one says more, should this master have just taken the worker over.
    if (type === 'progress') return true
    if (type === 'result' || performance.now() < link.sureFromMs) return false
    return type === 'log' || ++countOf(link).others > MOST_OF_OTHERS
  }

  return (link, message) => {
    const { workerId } = link
    if (isTooOften(link, message)) {
      deps.onRefused(workerId, `it wrote "${message.type}" too often`, 'wrong')
      return false
    }
    if (message.type === 'hello') {
      deps.onLost(link, link.hello(message.instance))
      deps.onHello(workerId, message)
      return false
    }
    if (message.type === 'want') {
      if (link.want(message)) deps.onWants()
      return false
    }
    if (message.type === 'state') {
      const { unknown, lost } = link.state(message, performance.now())
      deps.onLost(link, lost)
      if (unknown.length > 0) deps.onUnknown(link, unknown)
      if (message.wants.length > 0) deps.onWants()
      return false
    }
    if (!isOfAttempt(message)) return true
    const isHeld = link.knows(message.unitId)
    if (!isHeld && !deps.tickets.isUnit(message.ticket, workerId, message.unitId)) {
      deps.onRefused(workerId, `it wrote "${message.type}" of unit ${message.unitId}, which it was not given`, 'wrong')
      return false
    }
    if (!isHeld && isIdle(link, message)) return false
    if (message.type !== 'returned') link.began(message.unitId)
    if (message.type === 'result') boundTimings(message.timings, link.hadSinceMs(message.unitId))
    for (const unitId of settledBy(message)) link.reported(unitId)
    return true
  }
}

/** No unit runs for longer than its worker has had it: by what it says how long others take is judged, too. */
function boundTimings(timings: Timings, sinceMs: number | undefined): void {
  if (sinceMs === undefined) return
  const mostMs = Math.ceil(performance.now() - sinceMs)
  timings.fetched = Math.min(timings.fetched, mostMs)
  timings.ran = Math.min(timings.ran, mostMs)
}
