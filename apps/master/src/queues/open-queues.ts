import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { closeQueue, openQueue, startStalledCheck, type UnitQueue } from './queues.ts'

/** The queues that this master knows: each is opened when it is first asked for, and looked after from then on. */
export interface OpenQueues {
  get(name: string): UnitQueue
  names(): string[]
  close(): Promise<void>
}

export interface OpenQueuesDeps {
  redis: Redis
  log: Logger
  /** Entries of the queue wait again. */
  onWaiting(name: string): void
}

export function createOpenQueues({ redis, log, onWaiting }: OpenQueuesDeps): OpenQueues {
  const open = new Map<string, { queue: UnitQueue; stop: () => Promise<void> }>()

  function openNew(name: string): { queue: UnitQueue; stop: () => Promise<void> } {
    const queue = openQueue(redis, name, error => log.debug({ err: error, queue: name }, 'queue error'))
    const stop = startStalledCheck(
      queue,
      jobIds => {
        log.warn({ queue: name, jobIds }, 'units lost their master and wait again')
        onWaiting(name)
      },
      error => log.debug({ err: error, queue: name }, 'stalled check failed')
    )
    const entry = { queue, stop }
    open.set(name, entry)
    return entry
  }

  return {
    get: name => (open.get(name) ?? openNew(name)).queue,
    names: () => [...open.keys()],
    close: async () => {
      for (const { queue, stop } of open.values()) {
        await stop()
        await closeQueue(queue)
      }
    }
  }
}
