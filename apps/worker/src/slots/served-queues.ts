import type { Logger } from '@sc/shared/log.ts'
import { closeQueue, openQueue, type UnitQueue } from '@sc/shared/queues.ts'
import type { Redis } from '@sc/shared/redis.ts'

/** The queues of one slot, most demanding first. */
export interface ServedQueues {
  readonly open: UnitQueue[]
  /** Serves these from now on, and no others. */
  serve(names: string[]): Promise<void>
}

export interface ServedQueuesDeps {
  redis: Redis
  /** See `openQueue`. */
  plain?: Redis
  log: Logger
}

/** The queues that the slots of a worker serve: each is open while one slot or more serves it. */
export function createServedQueues({ redis, plain, log }: ServedQueuesDeps): { forSlot(): ServedQueues } {
  const shared = new Map<string, { queue: UnitQueue; slots: number }>()

  function use(name: string): UnitQueue {
    const known = shared.get(name)
    if (known) {
      known.slots++
      return known.queue
    }
    const queue = openQueue(redis, name, error => log.debug({ err: error, queue: name }, 'Queue error'), plain)
    shared.set(name, { queue, slots: 1 })
    return queue
  }

  async function leave({ name }: UnitQueue): Promise<void> {
    const known = shared.get(name)
    if (!known || --known.slots > 0) return
    shared.delete(name)
    await closeQueue(known.queue)
  }

  return {
    forSlot: () => {
      let open: UnitQueue[] = []
      return {
        get open() {
          return open
        },
        serve: async names => {
          const before = open
          open = names.map(use)
          await Promise.all(before.map(leave))
        }
      }
    }
  }
}
