const FIRST_PAUSE_SECONDS = 5
const LONGEST_PAUSE_SECONDS = 3_600
/** The last one is a day after the first. */
export const MOST_ATTEMPTS = 34

/** From a failed attempt to the next: it doubles up to an hour. Null: that was the last. */
export function pauseSecondsAfter(attempts: number): number | null {
  return attempts >= MOST_ATTEMPTS ? null : Math.min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
}
