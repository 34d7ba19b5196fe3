import type { SlotWant } from '@sc/shared/outbox-message.ts'
import type { TakenEntry } from '../queues/queues.ts'
import { createCredit } from './credit.ts'
import { createLink, type Held, type Link } from './link.ts'

/** A worker that this master serves. */
export interface ServedLink extends Link<TakenEntry> {
  readonly workerId: string
  /** Its outbox is long: it gets nothing new. */
  isSlowed: boolean
  /** When its last message was read. */
  readMs: number
  /** From then on it holds no units but those of which this master knows. */
  sureFromMs: number
  /** See `credit.ts`. */
  readonly isProven: boolean
  /** Which queues one may give it entries of; undefined: not known yet. */
  allow(queues: ReadonlySet<string> | 'any' | undefined): void
  /** Its wants that may be met now, the oldest first: as many as it has credit for. */
  asking(nowMs: number): StandingWant[]
  take(want: SlotWant, taken: TakenEntry): void
  /** An outcome that counts for nothing came of this entry: the worker holds it no more. */
  takeBack(entry: string): HeldEntry | undefined
}

/** A want, with those of its queues that its worker is allowed, each with its place: the most demanding is first. */
export interface StandingWant {
  link: ServedLink
  want: SlotWant
  places: ReadonlyMap<string, number>
}

export interface Links {
  of(workerId: string): ServedLink | undefined
  all(): ServedLink[]
  add(workerId: string): ServedLink
  remove(workerId: string): void
  /** Whether it is still this one. */
  isServed(link: ServedLink): boolean
  /**
   * Every want that stands: those of idle slots before those of busy ones, of these those of proven workers first, and the
   * workers in turns: who was given something last goes last.
   */
  standing(): StandingWant[]
}

/** A worker without anything to do writes its state every 2.5 s: the wants of one that is silent for so long do not count. */
const SILENT_MS = 6_000
/** Wants of one worker that a round looks at. */
const MOST_AT_ONCE = 64

export type HeldEntry = Held<TakenEntry>

export function createLinks(): Links {
  /** In the order of their turns. */
  const links = new Map<string, ServedLink>()
  const isServed = (link: ServedLink): boolean => links.get(link.workerId) === link

  function toEnd(link: ServedLink): void {
    if (!isServed(link)) return
    links.delete(link.workerId)
    links.set(link.workerId, link)
  }

  return {
    of: workerId => links.get(workerId),
    all: () => [...links.values()],
    add: workerId => {
      const link = createServedLink(workerId, toEnd)
      links.set(workerId, link)
      return link
    },
    remove: workerId => void links.delete(workerId),
    isServed,
    standing: () => {
      const nowMs = performance.now()
      const asking = [...links.values()].map(link => link.asking(nowMs))
      const most = Math.max(0, ...asking.map(wants => wants.length))
      // The first of each worker, then the second of each.
      const inTurns = Array.from({ length: most }, (_, at) => asking.flatMap(wants => wants[at] ?? [])).flat()
      const group = (one: StandingWant): number => (isBusy(one) ? 2 : one.link.isProven ? 0 : 1)
      return inTurns.toSorted((a, b) => group(a) - group(b))
    }
  }
}

function createServedLink(workerId: string, onGiven: (link: ServedLink) => void): ServedLink {
  const core = createLink<TakenEntry>()
  const credit = createCredit()
  let allowed: ReadonlySet<string> | 'any' | undefined
  /** Of wants that were looked at; a want may name a thousand queues. */
  let places = new WeakMap<SlotWant, Map<string, number>>()

  function placesOf(want: SlotWant): Map<string, number> {
    const known = places.get(want)
    if (known) return known
    const names = want.queues.filter(name => allowed === 'any' || allowed?.has(name))
    const found = new Map([...new Set(names)].map((name, at) => [name, at]))
    places.set(want, found)
    return found
  }

  function spend(gone: HeldEntry[]): HeldEntry[] {
    for (const { isBegun, unread } of gone) if (!isBegun || unread.size > 1) credit.spent(performance.now())
    return gone
  }

  const link: ServedLink = {
    ...core,
    workerId,
    isSlowed: false,
    readMs: performance.now(),
    sureFromMs: Number.POSITIVE_INFINITY,
    get isProven() {
      return credit.isProven
    },
    allow: queues => {
      allowed = queues
      places = new WeakMap()
    },
    hello: instance => spend(core.hello(instance)),
    state: (state, nowMs) => {
      const { unknown, lost } = core.state(state, nowMs)
      return { unknown, lost: spend(lost) }
    },
    lost: nowMs => spend(core.lost(nowMs)),
    settled: (unitIds, isReturn) => {
      const over = core.settled(unitIds, isReturn)
      for (const { hasEnded } of over) {
        if (hasEnded) credit.ended()
        else credit.spent(performance.now())
      }
      return over
    },
    began: unitId => {
      const isFirst = core.began(unitId)
      if (isFirst) credit.begun()
      return isFirst
    },
    asking: nowMs => {
      if (link.isSlowed || nowMs - link.readMs >= SILENT_MS) return []
      const notBegun = core.held().filter(({ isBegun, unread }) => !isBegun && unread.size > 0).length
      return core
        .standing()
        .slice(0, Math.min(MOST_AT_ONCE, credit.left(notBegun, nowMs)))
        .map(want => ({ link, want, places: placesOf(want) }))
        .filter(one => one.places.size > 0)
    },
    take: ({ slot, want }, taken) => {
      core.give(slot, want, newHeld(taken), performance.now())
      onGiven(link)
    },
    takeBack: entry => {
      const held = core.drop(entry)
      if (held) credit.spent(performance.now())
      return held
    }
  }
  return link
}

/** Whether the slot runs something, and asks for the next. */
export function isBusy({ link, want }: StandingWant): boolean {
  return link.isBusy(want.slot)
}

/** What is known of an entry with its worker. */
export function newHeld(taken: TakenEntry) {
  const deadlines = taken.units.map(({ deadline }) => deadline)
  return {
    entry: taken.jobId,
    taken,
    unitIds: taken.units.map(({ unitId }) => unitId),
    deadlineMs: deadlines.reduce((sum, ms) => sum + ms, 0)
  }
}
