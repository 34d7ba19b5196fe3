import { addUnits, closeQueue, openQueue, removeUnits, startStalledCheck, type UnitQueue } from '@sc/shared/queues.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { UnitRow } from '../database/schema.ts'
import { queueIdOf, toPayload } from './units.ts'

export interface Dispatch {
  /** Queues rows; those that are queued or running already stay as they are. */
  send(units: UnitRow[], priority: number): Promise<void>
  /** Takes rows that no slot has out of their queues. */
  withdraw(units: UnitRow[]): Promise<void>
  close(): Promise<void>
}

/** How many jobs of one priority run first come, first served; see `queuePriority`. */
const HIGHEST_PRIORITY = 100

/** Opens each capability class when it is first used, and looks for stalled units in it from then on. */
export function createDispatch({ redis, log, queues }: { redis: Redis; log: Logger; queues: string[] }): Dispatch {
  const open = new Map<string, { queue: UnitQueue; stop: () => Promise<void> }>()

  function queueOf(name: string): UnitQueue {
    let entry = open.get(name)
    if (!entry) {
      const queue = openQueue(redis, name, error => log.debug({ err: error, queue: name }, 'queue error'))
      const stop = startStalledCheck(
        queue,
        jobIds => log.warn({ queue: name, jobIds }, 'units lost their worker and wait again'),
        error => log.debug({ err: error, queue: name }, 'stalled check failed')
      )
      entry = { queue, stop }
      open.set(name, entry)
    }
    return entry.queue
  }

  for (const name of queues) queueOf(name)

  return {
    send: async (units, priority) => {
      for (const [name, rows] of Map.groupBy(units, unit => unit.queue)) {
        await addUnits(queueOf(name), rows.map(toPayload), {
          jobIds: rows.map(queueIdOf),
          priority: queuePriority(priority)
        })
      }
    },
    withdraw: async units => {
      for (const [name, rows] of Map.groupBy(units, unit => unit.queue)) {
        await removeUnits(queueOf(name), rows.map(queueIdOf))
      }
    },
    close: async () => {
      for (const { queue, stop } of open.values()) {
        await stop()
        await closeQueue(queue)
      }
    }
  }
}

/** A job's priority (0 … 100, higher first) as BullMQ counts it (lower first; 0 would go before every number). */
function queuePriority(priority: number): number {
  return HIGHEST_PRIORITY - priority + 1
}
