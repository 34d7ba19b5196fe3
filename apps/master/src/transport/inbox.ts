import type { InboxMessage } from '@sc/shared/inbox-message.ts'
import { inboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'

/** A worker that reads nothing any more is not to fill Redis: the oldest messages go. */
const MOST_ENTRIES = 2_000

/** Adds messages to a worker's inbox, as one entry of the stream. */
export async function sendInbox(redis: Redis, workerId: string, ...messages: InboxMessage[]): Promise<void> {
  await redis.xadd(inboxKey(workerId), 'MAXLEN', '~', MOST_ENTRIES, '*', 'm', JSON.stringify(messages))
}
