import type { Database } from './schema.ts'

/** More rows than this take tens of milliseconds to count. */
export const LARGE = 5_000
/** What is large is counted at most so often. */
export const KEPT_MS = 1_000

/**
 * The same answer for all who ask while it is counted and for KEPT_MS after that, once `sizeOf` has shown that it takes
 * counting more than LARGE rows. What is small is counted for each who asks.
 */
export function keepLarge<T>(count: () => Promise<T>, sizeOf: (answer: T) => number): () => Promise<T> {
  let kept: { answer: Promise<T>; untilMs: number } | undefined

  return async () => {
    if (kept && performance.now() < kept.untilMs) return await kept.answer
    const answer = count()
    // Others join this count only if the last one was large.
    const joined = kept && { answer, untilMs: Number.POSITIVE_INFINITY }
    kept = joined
    try {
      const isLarge = sizeOf(await answer) > LARGE
      kept = isLarge ? { answer, untilMs: performance.now() + KEPT_MS } : undefined
    } catch (error) {
      kept = undefined
      throw error
    }
    return await answer
  }
}

/** One of them for each database: whoever asks shares what it keeps. */
export function perDatabase<T>(create: (db: Database) => T): (db: Database) => T {
  const made = new WeakMap<Database, T>()
  return db => {
    const one = made.get(db) ?? create(db)
    made.set(db, one)
    return one
  }
}
