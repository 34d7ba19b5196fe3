/**
 * How many entries a worker may have that it has not begun: few at first, one more for each that it begins, half as many
 * when one comes back, or is lost before it began. Who ends nothing gets one at a time, after ever longer pauses, and only
 * what no proven worker is free for: what it takes from others is little, whatever it asks for. To begin is no proof, as long
 * as less was ended than came back.
 */
export interface Credit {
  /** It has begun an entry, and has made up for those that came back or were lost. */
  readonly isProven: boolean
  /** How many more it may be given now. */
  left(notBegun: number, nowMs: number): number
  begun(): void
  /** An outcome came of one. */
  ended(): void
  /** One came back, or was lost before it began. */
  spent(nowMs: number): void
}

const FIRST = 4
const MOST = 64
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 60_000
const PAUSE_GROWTH = 4
/** A worker that stops gives back all that it has: a moment's work makes up for it. */
const MOST_OWED = MOST

export function createCredit(): Credit {
  let most = FIRST
  let pauseMs = 0
  let notBeforeMs = 0
  let hasBegun = false
  /** How many more came back than ended since. */
  let owed = 0
  return {
    get isProven() {
      return hasBegun && owed === 0
    },
    left: (notBegun, nowMs) => (nowMs < notBeforeMs ? 0 : Math.max(0, most - notBegun)),
    begun: () => {
      most = Math.min(MOST, most + 1)
      hasBegun = true
    },
    ended: () => {
      owed = Math.max(0, owed - 1)
      if (owed === 0) pauseMs = 0
    },
    spent: nowMs => {
      owed = Math.min(MOST_OWED, owed + 1)
      most = Math.max(1, Math.floor(most / 2))
      // What comes back together is one reason for a longer pause.
      if (most > 1 || nowMs < notBeforeMs) return
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, PAUSE_GROWTH * pauseMs))
      notBeforeMs = nowMs + pauseMs
    }
  }
}
