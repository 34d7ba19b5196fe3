import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { closeQueue, openQueue, type UnitQueue } from '@sc/shared/queues.ts'
import { isRefusal, type Redis } from '@sc/shared/redis.ts'
import { QUEUE_PREFIX } from '@sc/shared/redis-keys.ts'

const LET_IN_MS = 5_000
const LOOK_AGAIN_MS = 50
const NEVER = new AbortController().signal

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
          await untilLetIn(plain ?? redis, names, log)
          const before = open
          open = names.map(use)
          await Promise.all(before.map(leave))
        }
      }
    }
  }
}

/** The master lets a worker into the queues of what it registered: a moment later. */
async function untilLetIn(redis: Redis, names: string[], log: Logger): Promise<void> {
  const endMs = performance.now() + LET_IN_MS
  for (;;) {
    const outside = await refusedOf(redis, names)
    if (outside.length === 0) return
    if (performance.now() > endMs)
      return log.warn({ queues: outside }, 'The master has not let this worker into queues that it could serve')
    await pause(LOOK_AGAIN_MS, NEVER)
  }
}

async function refusedOf(redis: Redis, names: string[]): Promise<string[]> {
  // Away: whoever uses the queues waits for it.
  if (redis.status !== 'ready') return []
  const asked = names.map(async name => {
    const refused = await redis.exists(`${QUEUE_PREFIX}:${name}:marker`).then(
      () => false,
      (error: Error) => isRefusal(error)
    )
    return refused ? [name] : []
  })
  return (await Promise.all(asked)).flat()
}
