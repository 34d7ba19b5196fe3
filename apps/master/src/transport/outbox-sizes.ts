import { pause } from '@sc/shared/pause.ts'
import { inboxKey, outboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Links } from './links.ts'
import type { Gravity } from './parse-outbox.ts'

/** What a worker may have waiting in its outbox before it is given nothing new: results that PostgreSQL is not there for. */
const SLOW_BYTES = 32 * 1024 ** 2
const SLOW_ENTRIES = 5_000
/** What none of ours reaches, given nothing new and read all the while; and what is too much in any case. */
const MOST_BYTES = 96 * 1024 ** 2
const MOST_ENTRIES = 50_000
const HARD_BYTES = 384 * 1024 ** 2
const LOOK_EVERY_MS = 500
/** Entries that MEMORY USAGE looks into: their sizes differ. */
const SAMPLES = 20

/**
 * Looks how much each worker has in its streams, without reading them: one whose outbox grows gets no new units, one that goes
 * on loses the outbox and is reported. An inbox that nobody reads is emptied.
 */
export function watchSizes(deps: {
  redis: Redis
  links: Links
  /** Nothing is read just now: whatever grows is no fault of who writes. */
  isHeldUp(): boolean
  log: Logger
  onRefused(workerId: string, reason: string, gravity: Gravity): void
}): { stop(): Promise<void> } {
  const { redis, links, log, onRefused } = deps
  const stopping = new AbortController()
  /** As of the last look. */
  const before = new Map<string, { entries: number; bytes: number }>()

  async function look(): Promise<void> {
    const served = links.all()
    if (served.length === 0) return
    const pipeline = redis.pipeline()
    for (const { workerId } of served)
      pipeline
        .xlen(outboxKey(workerId))
        .memory('USAGE', outboxKey(workerId), 'SAMPLES', SAMPLES)
        .memory('USAGE', inboxKey(workerId), 'SAMPLES', SAMPLES)
    const answers = (await pipeline.exec()) ?? []
    for (const [at, link] of served.entries()) {
      const [entries, bytes, inboxBytes] = [0, 1, 2].map(which => Number(answers[3 * at + which]?.[1] ?? 0)) as [
        number,
        number,
        number
      ]
      link.isSlowed = bytes > SLOW_BYTES || entries > SLOW_ENTRIES
      const last = before.get(link.workerId)
      before.set(link.workerId, { entries, bytes })
      // What piled up while no master read it is read by now, and shrinks.
      const grows = last !== undefined && (bytes > last.bytes || entries > last.entries) && !deps.isHeldUp()
      if ((grows && (bytes > MOST_BYTES || entries > MOST_ENTRIES)) || bytes > HARD_BYTES) {
        await redis.del(outboxKey(link.workerId))
        onRefused(link.workerId, `its outbox had ${entries} entries and ${bytes} bytes: emptied`, 'flood')
      }
      if (inboxBytes > MOST_BYTES) await redis.del(inboxKey(link.workerId))
    }
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (redis.status === 'ready') await look().catch(error => log.debug({ err: error }, 'sizes could not be read'))
      await pause(LOOK_EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
