import { pause } from '@sc/shared/pause.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

const EVERY_MS = 5_000

/** Tells workers where the master's HTTP is and which protocol it speaks, again and again: Redis may lose it. */
export function startPublishing(deps: {
  redis: Redis
  httpUrl: string
  localUrl: string
  version: string
  log: Logger
}): {
  stop(): Promise<void>
} {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await deps.redis
        .hset(MASTER_KEY, {
          httpUrl: deps.httpUrl,
          localUrl: deps.localUrl,
          protocol: PROTOCOL_VERSION,
          version: deps.version
        })
        .catch(error => deps.log.debug({ err: error }, 'publishing the master address failed; trying again'))
      await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
