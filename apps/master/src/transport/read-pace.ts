/**
 * How soon one worker's outbox is read again: by what it cost to read, by what it registers, and by what is read of all that
 * write much, together.
 */
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'

export interface ReadPace {
  /** Whether it may be read now. */
  isOpen(): boolean
  /** It wrote much lately: it is read in turn with all such (`readsNow`). */
  isBusy(): boolean
  /** What the next read is likely to cost, and each entry of it. */
  expected(): { cost: number; entryCost: number }
  /** It is asked for, whether or not there is something. */
  asked(): void
  readonly askedMs: number
  /** These messages were read, of so many entries; `cost`: see `parse-outbox.ts`. */
  read(messages: OutboxMessage[], entries: number, cost: number): void
  /** It wrote what no mistake does: it is not read on before its author is quarantined. */
  flooded(): void
}

/** What may be read of all busy workers together just now. */
export interface CommonPace {
  left(): number
  /** However much it was, the others wait no longer than a second. */
  take(cost: number): void
}

/** What is read in a second, in characters, of one worker and of all busy ones: after a large read it waits its turn. */
const MOST_READ_A_SECOND = 8 * 1024 ** 2
const FREE_COST = 1024 ** 2
/** Who writes less in a second is read at once, whatever others write. */
const FREE_A_SECOND = 256 * 1024
/** What is read of busy workers at once: nothing else is done meanwhile. */
const MOST_AT_ONCE = 1024 ** 2
/**
 * What a worker registers is decided upon with what all others have, in everybody's transactions. Ours registers when it starts
 * and when its tasks change: so many at once, then one each second, and large ones count for several.
 */
const MOST_REGISTRATIONS = 20
const REGISTRATION_COST = 100 * 1024
const AFTER_FLOOD_MS = 5_000

export function createCommonPace(): CommonPace {
  let left = MOST_AT_ONCE
  let sinceMs = performance.now()

  function fill(): number {
    const nowMs = performance.now()
    left = Math.min(MOST_AT_ONCE, left + ((nowMs - sinceMs) / 1000) * MOST_READ_A_SECOND)
    sinceMs = nowMs
    return left
  }

  return {
    left: fill,
    take: cost => {
      left = Math.max(-MOST_READ_A_SECOND, fill() - cost)
    }
  }
}

export function createReadPace(common: CommonPace): ReadPace {
  let notBeforeMs = 0
  let askedMs = 0
  let registrations = 0
  let registeredMs = performance.now()
  let lately = 0
  let readMs = performance.now()
  let last = { cost: 0, entryCost: 0 }

  function registeringMs(messages: OutboxMessage[], cost: number): number {
    const added = messages.filter(({ type }) => type === 'registered').length
    if (added === 0) return 0
    const nowMs = performance.now()
    const left = Math.max(0, registrations - (nowMs - registeredMs) / 1000)
    registrations = left + added + cost / REGISTRATION_COST
    registeredMs = nowMs
    return Math.max(0, registrations - MOST_REGISTRATIONS) * 1000
  }

  /** What was read, less FREE_A_SECOND. */
  function latelyRead(): number {
    return Math.max(0, lately - ((performance.now() - readMs) / 1000) * FREE_A_SECOND)
  }

  const isBusy = (): boolean => latelyRead() > FREE_A_SECOND

  return {
    isOpen: () => notBeforeMs <= performance.now(),
    isBusy,
    expected: () => last,
    asked: () => {
      askedMs = performance.now()
    },
    get askedMs() {
      return askedMs
    },
    read: (messages, entries, cost) => {
      lately = latelyRead() + cost
      readMs = performance.now()
      last = { cost, entryCost: cost / Math.max(1, entries) }
      if (isBusy()) common.take(cost)
      const pauseMs = cost > FREE_COST ? (cost / MOST_READ_A_SECOND) * 1000 : 0
      notBeforeMs = Math.max(notBeforeMs, performance.now() + Math.max(pauseMs, registeringMs(messages, cost)))
    },
    flooded: () => {
      notBeforeMs = performance.now() + AFTER_FLOOD_MS
    }
  }
}

/**
 * Of workers that may be read: who is now, and how many entries of each at most. Who writes little always is; of the others
 * those who were asked longest ago, as far as is left for all of them.
 */
export function readsNow<One extends { pace: ReadPace }>(
  open: One[],
  common: CommonPace,
  mostEntries: number
): { now: One[]; entries: number } {
  const now = open.filter(({ pace }) => !pace.isBusy())
  const busy = open.filter(({ pace }) => pace.isBusy()).sort((a, b) => a.pace.askedMs - b.pace.askedMs)
  let left = common.left()
  let entries = mostEntries
  for (const one of busy) {
    if (left <= 0) break
    const { cost, entryCost } = one.pace.expected()
    const own = Math.max(1, Math.min(mostEntries, Math.floor(MOST_AT_ONCE / entryCost)))
    left -= Math.min(cost, own * entryCost)
    entries = Math.min(entries, own)
    now.push(one)
  }
  return { now, entries }
}
