import { type InboxMessage, inboxMessageSchema } from '@sc/shared/inbox-message.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { MAX_BLOCK_MS, type Redis } from '@sc/shared/redis.ts'
import { inboxKey } from '@sc/shared/redis-keys.ts'
import { untilAborted } from '../until-aborted.ts'

export interface Inbox {
  /** When the last message was read, by `performance.now()`. */
  readonly lastReadMs: number
  stop(): Promise<void>
}

export interface InboxDeps {
  /** A connection of its own: reads block. */
  blocking: Redis
  redis: Redis
  workerId: string
  onMessage(message: InboxMessage): void
  log: Logger
}

const MOST_READ = 100
const AFTER_ERROR_MS = 500
const TRIM_EVERY_MS = 500

/** Reads this worker's inbox, in order, and takes away what is read. A message may come twice: after an outage, say. */
export function readInbox({ blocking, redis, workerId, onMessage, log }: InboxDeps): Inbox {
  const key = inboxKey(workerId)
  const stopping = new AbortController()
  let lastId = '0-0'
  let lastReadMs = performance.now()
  let trimming: NodeJS.Timeout | undefined
  // Another Redis, or one with an older copy of its data, may have begun the stream anew.
  const onReady = (): void => {
    lastId = '0-0'
  }

  async function round(): Promise<void> {
    const reading = blocking.xread('COUNT', MOST_READ, 'BLOCK', MAX_BLOCK_MS, 'STREAMS', key, lastId)
    // While Redis is away nothing ends the read.
    const reply = await untilAborted(reading, stopping.signal)
    const entries = reply?.[0]?.[1] ?? []
    for (const [id, fields] of entries) {
      lastId = id
      lastReadMs = performance.now()
      for (const message of parse(fields)) onMessage(message)
    }
    if (entries.length > 0) trimSoon()
  }

  function trimSoon(): void {
    trimming ??= setTimeout(() => {
      trimming = undefined
      redis.xtrim(key, 'MINID', behind(lastId)).catch(() => {})
    }, TRIM_EVERY_MS)
  }

  function parse(fields: string[]): InboxMessage[] {
    try {
      return (JSON.parse(fields[1] ?? '') as unknown[]).flatMap(one => {
        const message = inboxMessageSchema.safeParse(one)
        if (!message.success)
          log.warn({ err: message.error }, 'The master wrote a message that this worker does not know')
        return message.data ?? []
      })
    } catch (error) {
      log.warn({ err: error }, 'The master wrote an entry that is none')
      return []
    }
  }

  blocking.on('ready', onReady)
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await round()
      } catch (error) {
        if (stopping.signal.aborted) break
        log.debug({ err: error }, 'The inbox could not be read; it is tried again')
        await pause(AFTER_ERROR_MS, stopping.signal)
      }
    }
  })()

  return {
    get lastReadMs() {
      return lastReadMs
    },
    stop: async () => {
      stopping.abort()
      clearTimeout(trimming)
      blocking.off('ready', onReady)
      blocking.disconnect()
      await running
    }
  }
}

/** The smallest id behind this one. */
function behind(id: string): string {
  const [time, place] = id.split('-')
  return `${time}-${Number(place) + 1}`
}
