import { hashOf } from './key-rows.ts'

/**
 * DESIGN: who sends wrong keys without end is to cost no lookup of each, and who has a right one behind the same address is
 * to be served: keys that were right lately are looked up as ever, and of all others of that address a few a second, so that
 * a right one that nobody has used for a while comes through after some tries.
 */
export interface WrongKeys {
  /** Whether this key is to be looked up at all. */
  mayLookUp(address: string, key: string): boolean
  wasRight(key: string): void
  wasWrong(key: string): void
  /** Too many wrong ones came from this address; for so long. */
  limit(address: string, seconds: number): void
}

const RIGHT_FOR_MS = 10 * 60_000
/** The oldest go. */
const MOST_RIGHT = 10_000
const LOOKUPS_PER_S = 5
const SECOND_MS = 1_000

export function createWrongKeys(now: () => number = () => performance.now()): WrongKeys {
  /** By hash: no key is in memory for longer than its request. */
  const rightMs = new Map<string, number>()
  const limited = new Map<string, { untilMs: number; sinceMs: number; lookups: number }>()

  return {
    mayLookUp: (address, key) => {
      const limit = limited.get(address)
      if (!limit) return true
      const nowMs = now()
      if (nowMs >= limit.untilMs) {
        limited.delete(address)
        return true
      }
      if (nowMs - (rightMs.get(nameOf(key)) ?? Number.NEGATIVE_INFINITY) < RIGHT_FOR_MS) return true
      if (nowMs - limit.sinceMs >= SECOND_MS) Object.assign(limit, { sinceMs: nowMs, lookups: 0 })
      return ++limit.lookups <= LOOKUPS_PER_S
    },
    wasRight: key => {
      const hash = nameOf(key)
      rightMs.delete(hash)
      rightMs.set(hash, now())
      const [oldest] = rightMs.keys()
      if (rightMs.size > MOST_RIGHT && oldest !== undefined) rightMs.delete(oldest)
    },
    wasWrong: key => void rightMs.delete(nameOf(key)),
    limit: (address, seconds) => {
      const limit = limited.get(address) ?? { sinceMs: now(), lookups: 0, untilMs: 0 }
      limited.set(address, { ...limit, untilMs: now() + seconds * SECOND_MS })
    }
  }
}

function nameOf(key: string): string {
  return hashOf(key).toString('base64')
}
