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
  workerId: string
  onMessage(message: InboxMessage): void
  log: Logger
}

/** Each may have a few megabytes, and what was popped and did not arrive is lost. */
const MOST_READ = 20
const AFTER_ERROR_MS = 500

/**
 * Pops from this worker's inbox, in order. What Redis sent into a connection that broke is lost: the next state names what is
 * held, so that units go elsewhere, and a new \`hello\` is answered with how this worker stands.
 */
export function readInbox({ blocking, workerId, onMessage, log }: InboxDeps): Inbox {
  const key = inboxKey(workerId)
  const stopping = new AbortController()
  let lastReadMs = performance.now()

  async function round(): Promise<void> {
    const reading = blocking.blmpop(MAX_BLOCK_MS / 1_000, 1, key, 'LEFT', 'COUNT', MOST_READ)
    // While Redis is away nothing ends the read.
    const reply = await untilAborted(reading, stopping.signal)
    for (const text of reply?.[1] ?? []) {
      lastReadMs = performance.now()
      for (const message of parse(text)) onMessage(message)
    }
  }

  function parse(text: string): InboxMessage[] {
    try {
      return (JSON.parse(text) as unknown[]).flatMap(one => {
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
      blocking.disconnect()
      await running
    }
  }
}
