import type { InboxMessage } from '@sc/shared/inbox-message.ts'
import { inboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'

/** A worker that reads nothing any more is not to fill Redis: the oldest messages go. */
const MOST_ENTRIES = 2_000

/** Adds messages to a worker's inbox, as one entry of the list. */
export async function sendInbox(redis: Redis, workerId: string, ...messages: InboxMessage[]): Promise<void> {
  const key = inboxKey(workerId)
  const text = JSON.stringify(messages)
  try {
    await add(redis, key, text)
  } catch (error) {
    // Up to protocol 5 it was a stream, of which nobody reads the rest.
    if (!(error instanceof Error) || !error.message.startsWith('WRONGTYPE')) throw error
    await redis.del(key)
    await add(redis, key, text)
  }
}

async function add(redis: Redis, key: string, text: string): Promise<void> {
  const length = await redis.rpush(key, text)
  if (length > MOST_ENTRIES) await redis.ltrim(key, -MOST_ENTRIES, -1)
}
