import type { ControlMessage } from '@sc/shared/inbox-message.ts'
import type { Redis } from 'ioredis'
import { sendInbox } from '../transport/inbox.ts'

/** Gives one worker an order; one that is away reads it when it is back. */
export async function sendControl(redis: Redis, workerId: string, message: ControlMessage): Promise<void> {
  await sendInbox(redis, workerId, message)
}
