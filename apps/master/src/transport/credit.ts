/**
 * How many entries a worker may have that it has not begun: few at first, one more for each that it begins, half as many
 * when one comes back or is lost before it began. Who begins nothing gets one at a time, after ever longer pauses, and only
 * what no proven worker is free for: what it takes from others is little, whatever it asks for.
 */
export interface Credit {
  /** It has begun an entry, and none came back or was lost since. */
  readonly isProven: boolean
  /** How many more it may be given now. */
  left(notBegun: number, nowMs: number): number
  begun(): void
  /** One came back, or was lost, before it began. */
  spent(nowMs: number): void
}

const FIRST = 4
const MOST = 64
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 60_000
const PAUSE_GROWTH = 4

export function createCredit(): Credit {
  let most = FIRST
  let pauseMs = 0
  let notBeforeMs = 0
  let isProven = false
  return {
    get isProven() {
      return isProven
    },
    left: (notBegun, nowMs) => (nowMs < notBeforeMs ? 0 : Math.max(0, most - notBegun)),
    begun: () => {
      most = Math.min(MOST, most + 1)
      pauseMs = 0
      isProven = true
    },
    spent: nowMs => {
      isProven = false
      most = Math.max(1, Math.floor(most / 2))
      if (most > 1) return
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, PAUSE_GROWTH * pauseMs))
      notBeforeMs = nowMs + pauseMs
    }
  }
}
