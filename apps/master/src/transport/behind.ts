/** What a worker wrote is old, and waits: for so long what PostgreSQL says of its units does not count, */
const MOST_BEHIND_MS = 30_000
/** and in the long run for this part of the time. */
const BEHIND_SHARE = 1 / 10

/** For how long something that a worker wrote waited to be read or applied lately, less what BEHIND_SHARE allows. */
export interface Behind {
  /** Counts the time since the last call. */
  age(waited: boolean): void
  /** That time is nobody's fault. */
  skip(): void
  /** It was behind for so long that nobody waits for it. */
  isTooLong(): boolean
}

export function createBehind(): Behind {
  let behindMs = 0
  let agedMs = performance.now()

  function sinceLast(): number {
    const sinceMs = performance.now() - agedMs
    agedMs += sinceMs
    return sinceMs
  }

  return {
    age: waited => {
      const change = (waited ? 1 : -BEHIND_SHARE) * sinceLast()
      behindMs = Math.min(2 * MOST_BEHIND_MS, Math.max(0, behindMs + change))
    },
    skip: () => void sinceLast(),
    isTooLong: () => behindMs > MOST_BEHIND_MS
  }
}
