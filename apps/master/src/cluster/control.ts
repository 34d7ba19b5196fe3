import { controlChannel } from '@sc/shared/redis-keys.ts'
import type { ControlMessage } from '@sc/shared/unit.ts'
import type { Redis } from 'ioredis'

/** Tells one worker something, now; a worker that is away does not hear it. */
export async function sendControl(redis: Redis, workerId: string, message: ControlMessage): Promise<void> {
  await redis.publish(controlChannel(workerId), JSON.stringify(message))
}
