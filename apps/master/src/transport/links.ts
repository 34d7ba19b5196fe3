import type { SlotWant } from '@sc/shared/outbox-message.ts'
import type { TakenEntry } from '../queues/queues.ts'
import { createLink, type Held, type Link } from './link.ts'

/** A worker that this master serves. */
export interface ServedLink extends Link<TakenEntry> {
  readonly workerId: string
  /** Whether one may give it entries of this queue; undefined: not known yet. */
  allowed: ReadonlySet<string> | 'any' | undefined
  /** Its outbox is long: it gets nothing new. */
  isSlowed: boolean
  /** When its last message was read. */
  readMs: number
  take(want: SlotWant, taken: TakenEntry): void
}

export interface Links {
  of(workerId: string): ServedLink | undefined
  all(): ServedLink[]
  add(workerId: string): ServedLink
  remove(workerId: string): void
  /** Whether it is still this one. */
  isServed(link: ServedLink): boolean
  /** Every want that stands, with the queues that its worker is allowed; those of idle slots before those of busy ones. */
  standing(): Array<{ link: ServedLink; want: SlotWant }>
}

/** A worker without anything to do writes its state every 2.5 s: the wants of one that is silent for so long do not count. */
const SILENT_MS = 6_000
/** Wants of one worker that a round looks at. */
const MOST_AT_ONCE = 64

export type HeldEntry = Held<TakenEntry>

export function createLinks(): Links {
  const links = new Map<string, ServedLink>()
  return {
    of: workerId => links.get(workerId),
    all: () => [...links.values()],
    add: workerId => {
      const core = createLink<TakenEntry>()
      const link: ServedLink = {
        ...core,
        workerId,
        allowed: undefined,
        isSlowed: false,
        readMs: performance.now(),
        take: ({ slot, want }, taken) => core.give(slot, want, newHeld(taken), performance.now())
      }
      links.set(workerId, link)
      return link
    },
    remove: workerId => void links.delete(workerId),
    isServed: link => links.get(link.workerId) === link,
    standing: () => {
      const nowMs = performance.now()
      const asking = [...links.values()].filter(({ isSlowed, readMs }) => !isSlowed && nowMs - readMs < SILENT_MS)
      const wants = asking.flatMap(link =>
        link
          .standing()
          .slice(0, MOST_AT_ONCE)
          .flatMap(want => {
            const queues = [...new Set(want.queues)].filter(name => isAllowed(link, name))
            return queues.length > 0 ? [{ link, want: { ...want, queues } }] : []
          })
      )
      return [...wants.filter(one => !isBusy(one)), ...wants.filter(isBusy)]
    }
  }
}

/** Whether the slot runs something, and asks for the next. */
export function isBusy({ link, want }: { link: ServedLink; want: SlotWant }): boolean {
  return link.isBusy(want.slot)
}

function isAllowed({ allowed }: ServedLink, queue: string): boolean {
  return allowed === 'any' || (allowed?.has(queue) ?? false)
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
