import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { QUEUE_PREFIX } from './keys.ts'
import { FORGET } from './mend-script.ts'
import { closeQueue, openQueue, startStalledChecks, type UnitQueue } from './queues.ts'

/**
 * The queues that this master knows: each is opened when it is first asked for, looked after from then on, and closed when
 * nothing of it is in Redis and no slot serves it for a while: names come and go with the tasks of workers. Units of it may
 * wait in PostgreSQL; it is opened again when one is sent.
 */
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
  /** Nobody has these entries any more, and nobody said so. */
  onStalled?(name: string, entries: string[]): void
  /** How many slots of online workers serve a queue. */
  slotsOf(queue: string): number
  /** Entries of a queue that workers hold, as far as this master knows. */
  takenFrom(queue: string): string[]
  /** Default: IDLE_MS. */
  idleMs?: number
}

/** Longer than any use of one that was asked for. */
const IDLE_MS = 60_000
/** Looks for such ones, in this time. */
const LOOKS = 10

interface Open {
  queue: UnitQueue
  usedMs: number
}

export function createOpenQueues(deps: OpenQueuesDeps): OpenQueues {
  const { redis, log, onWaiting, onStalled, slotsOf, takenFrom, idleMs = IDLE_MS } = deps
  const open = new Map<string, Open>()
  const stopping = new AbortController()
  const stopChecks = startStalledChecks(
    redis,
    () => [...open.values()].map(({ queue }) => queue),
    ({ name }, jobIds) => {
      log.warn({ queue: name, jobIds }, 'units lost their master and wait again')
      onStalled?.(name, jobIds)
      onWaiting(name)
    },
    error => log.debug({ err: error }, 'stalled check failed')
  )

  function get(name: string): UnitQueue {
    const known = open.get(name)
    const queue = known?.queue ?? openQueue(redis, name, error => log.debug({ err: error, queue: name }, 'queue error'))
    open.set(name, { queue, usedMs: performance.now() })
    return queue
  }

  function isIdle(name: string): boolean {
    const usedMs = open.get(name)?.usedMs ?? Number.POSITIVE_INFINITY
    return performance.now() - usedMs >= idleMs && slotsOf(name) === 0 && takenFrom(name).length === 0
  }

  async function closeIdle(): Promise<void> {
    for (const name of [...open.keys()].filter(isIdle)) {
      if (stopping.signal.aborted) return
      if ((await redis.eval(FORGET, 1, `${QUEUE_PREFIX}:${name}:`)) === 0 || !isIdle(name)) continue
      const queue = open.get(name)?.queue
      open.delete(name)
      if (queue) await closeQueue(queue)
    }
  }

  const closing = (async () => {
    while (!stopping.signal.aborted) {
      await pause(idleMs / LOOKS, stopping.signal)
      if (redis.status === 'ready' && !stopping.signal.aborted)
        await closeIdle().catch(error => log.debug({ err: error }, 'closing queues failed; trying again'))
    }
  })()

  return {
    get,
    names: () => [...open.keys()],
    close: async () => {
      stopping.abort()
      await Promise.all([closing, stopChecks()])
      for (const { queue } of open.values()) await closeQueue(queue)
    }
  }
}
