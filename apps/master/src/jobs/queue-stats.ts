import type { WorkerRow } from '../cluster/presence.ts'
import { slotsFor } from '../cluster/slots-for.ts'
import type { Database } from '../database/schema.ts'
import { readOpenUnits } from './open-counts.ts'

export interface QueueStats {
  queue: string
  waiting: number
  running: number
  /** Of workers that are online; a slot may serve several queues. */
  slots: number
  /** Null: none waits. Units that are not to run yet do not count. */
  oldestWaitingSeconds: number | null
  workers: Array<Pick<WorkerRow, 'id' | 'name'>>
}

/** Every queue that has units or a worker, by name. */
export async function readQueueStats(db: Database, workers: WorkerRow[]): Promise<QueueStats[]> {
  const online = workers.filter(({ status }) => status === 'online')
  const counted = new Map((await readOpenUnits(db)).map(row => [row.queue, row]))
  const names = new Set([...counted.keys(), ...online.flatMap(({ queues }) => queues)])
  return [...names].sort().map(queue => {
    const row = counted.get(queue)
    const serving = online.filter(({ queues }) => queues.includes(queue))
    return {
      queue,
      waiting: row?.waiting ?? 0,
      running: row?.running ?? 0,
      slots: serving.flatMap(worker => slotsFor(worker, queue)).length,
      oldestWaitingSeconds: row?.oldestSeconds ?? null,
      workers: serving.map(({ id, name }) => ({ id, name }))
    }
  })
}
