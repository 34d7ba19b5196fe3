import type { Redis } from 'ioredis'

/** A stream's ids are of Redis's clock, which may go back a little; beyond what they were when this program began. */
const MOST_AHEAD_MS = 3600_000

/** Redis's clock, by this machine's steady one. */
export function createRedisClock(redis: Redis): {
  look(): void
  /** Whether an id of a stream is of a time that is long to come; false while the clock is not known. */
  isFarAhead(id: string): boolean
} {
  let aheadMs: number | undefined

  async function look(): Promise<void> {
    const [seconds] = await redis.time()
    aheadMs = Number(seconds) * 1000 - performance.now()
  }

  return {
    look: () => void look().catch(() => {}),
    isFarAhead: id => aheadMs !== undefined && Number(id.split('-')[0]) > performance.now() + aheadMs + MOST_AHEAD_MS
  }
}
