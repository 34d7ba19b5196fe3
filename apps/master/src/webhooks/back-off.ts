const FIRST_PAUSE_SECONDS = 5
const LONGEST_PAUSE_SECONDS = 3_600
/** The last one is a day after the first. */
export const MOST_ATTEMPTS = 34

/**
 * From a failed attempt to the next: it doubles up to an hour, and is no shorter than the receiver asks for, up to an hour.
 * Null: that was the last.
 */
export function pauseSecondsAfter(attempts: number, retryAfterSeconds = 0): number | null {
  if (attempts >= MOST_ATTEMPTS) return null
  return Math.min(Math.max(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), retryAfterSeconds), LONGEST_PAUSE_SECONDS)
}
