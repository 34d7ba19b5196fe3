import type { Logger } from '@sc/shared/log.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { controlChannel } from '@sc/shared/redis-keys.ts'
import { type ControlMessage, controlMessageSchema } from '@sc/shared/unit.ts'

/**
 * Listens to what the master tells this worker. `subscriber` is a connection of its own, which pings and comes back by
 * itself, subscribed. What is said while it is away is lost: the master drops results that it no longer wants.
 */
export async function listenToControl(
  subscriber: Redis,
  workerId: string,
  onMessage: (message: ControlMessage) => void,
  log: Logger
): Promise<void> {
  subscriber.on('message', (_channel: string, text: string) => {
    const message = parse(text)
    if (message) onMessage(message)
    else log.warn({ text: text.slice(0, 200) }, 'The master said something that this worker does not know')
  })
  await subscriber.subscribe(controlChannel(workerId))
}

function parse(text: string): ControlMessage | undefined {
  try {
    return controlMessageSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
