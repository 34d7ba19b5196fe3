import { pause } from '@sc/shared/pause.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

const EVERY_MS = 5_000

export interface Publishing {
  /** At once, as `httpUrl` is another. */
  again(): Promise<void>
  stop(): Promise<void>
}

/** Tells workers where the master's HTTP is and which protocol it speaks, again and again: Redis may lose it. */
export function startPublishing(deps: {
  redis: Redis
  httpUrl(): string
  localUrl: string
  version: string
  log: Logger
}): Publishing {
  const { redis, httpUrl, localUrl, version, log } = deps
  const stopping = new AbortController()

  async function publish(): Promise<void> {
    await redis
      .hset(MASTER_KEY, { httpUrl: httpUrl(), localUrl, protocol: PROTOCOL_VERSION, version })
      .catch(error => log.debug({ err: error }, 'publishing the master address failed; trying again'))
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await publish()
      await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    again: publish,
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
