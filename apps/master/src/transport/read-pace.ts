/** How soon one worker's outbox is read again: by what it cost to read, and by what it registers. */
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'

export interface ReadPace {
  /** Whether it may be read now. */
  isOpen(): boolean
  /** These messages were read; `cost`: see `parse-outbox.ts`. */
  read(messages: OutboxMessage[], cost: number): void
  /** It wrote what no mistake does: it is not read on before its author is quarantined. */
  flooded(): void
}

/** What is read in a second, in characters: after a large read it waits its turn. */
const MOST_READ_A_SECOND = 8 * 1024 ** 2
const FREE_COST = 1024 ** 2
/**
 * What a worker registers is decided upon with what all others have, in everybody's transactions. Ours registers when it starts
 * and when its tasks change: so many at once, then one each second, and large ones count for several.
 */
const MOST_REGISTRATIONS = 20
const REGISTRATION_COST = 100 * 1024
const AFTER_FLOOD_MS = 5_000

export function createReadPace(): ReadPace {
  let notBeforeMs = 0
  let registrations = 0
  let registeredMs = performance.now()

  function registeringMs(messages: OutboxMessage[], cost: number): number {
    const added = messages.filter(({ type }) => type === 'registered').length
    if (added === 0) return 0
    const nowMs = performance.now()
    const left = Math.max(0, registrations - (nowMs - registeredMs) / 1000)
    registrations = left + added + cost / REGISTRATION_COST
    registeredMs = nowMs
    return Math.max(0, registrations - MOST_REGISTRATIONS) * 1000
  }

  return {
    isOpen: () => notBeforeMs <= performance.now(),
    read: (messages, cost) => {
      const readMs = cost > FREE_COST ? (cost / MOST_READ_A_SECOND) * 1000 : 0
      const pauseMs = Math.max(readMs, registeringMs(messages, cost))
      notBeforeMs = Math.max(notBeforeMs, performance.now() + pauseMs)
    },
    flooded: () => {
      notBeforeMs = performance.now() + AFTER_FLOOD_MS
    }
  }
}
