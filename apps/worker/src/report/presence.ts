import type { Logger } from '@sc/shared/log.ts'
import { PRESENCE_EVERY_MS, PRESENCE_TTL_MS, type Presence } from '@sc/shared/presence.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { presenceKey } from '@sc/shared/redis-keys.ts'

/** What a worker knows of itself; what the way to Redis is like is found out by saying it. */
export type OwnPresence = Omit<Presence, 'address' | 'brokerRttMs'>

export interface PresenceReport {
  /** Nothing is said before: half of what a worker is would count as all of it. */
  start(): void
  /** Something changed: says it, at most twice a second. */
  soon(): void
  /** Takes the word back: the worker is offline at once. */
  stop(): Promise<void>
}

const SOON_MS = 500

/** Says every PRESENCE_EVERY_MS what the worker is and does; it counts as offline PRESENCE_TTL_MS after its last word. */
export function reportPresence(redis: Redis, workerId: string, row: () => OwnPresence, log: Logger): PresenceReport {
  const key = presenceKey(workerId)

  let asked: NodeJS.Timeout | undefined
  let timer: NodeJS.Timeout | undefined
  let brokerRttMs: number | null = null
  let last: string | undefined

  async function say(): Promise<void> {
    // Old words would pile up in the client and be said late.
    if (redis.status !== 'ready') return
    const address = 'localAddress' in redis.stream ? (redis.stream.localAddress ?? null) : null
    const presence: Presence = { ...row(), address, brokerRttMs }
    const saidAtMs = performance.now()
    last = JSON.stringify(presence)
    try {
      await redis.set(key, last, 'PX', PRESENCE_TTL_MS)
      brokerRttMs = Math.round((performance.now() - saidAtMs) * 100) / 100
    } catch (error) {
      log.debug({ err: error }, 'Presence could not be written')
    }
  }

  function soon(): void {
    if (!timer) return
    asked ??= setTimeout(() => {
      asked = undefined
      void say()
    }, SOON_MS)
  }

  return {
    start: () => {
      timer = setInterval(() => void say(), PRESENCE_EVERY_MS)
      void say()
    },
    soon,
    stop: async () => {
      clearInterval(timer)
      timer = undefined
      clearTimeout(asked)
      // The worker's login may set the key, and nothing else.
      if (redis.status === 'ready' && last) await redis.set(key, last, 'PX', 1).catch(() => {})
    }
  }
}
