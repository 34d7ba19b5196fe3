import { sql } from 'kysely'
import type { WorkerRow } from '../cluster/presence.ts'
import { slotsFor } from '../cluster/slots-for.ts'
import type { Database } from '../database/schema.ts'

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
  const counted = new Map((await countUnits(db)).map(row => [row.queue, row]))
  const names = new Set([...counted.keys(), ...online.flatMap(({ queues }) => queues)])
  return [...names].sort().map(queue => {
    const row = counted.get(queue)
    const serving = online.filter(({ queues }) => queues.includes(queue))
    return {
      queue,
      waiting: Number(row?.waiting ?? 0),
      running: Number(row?.running ?? 0),
      slots: serving.flatMap(worker => slotsFor(worker, queue)).length,
      oldestWaitingSeconds: row?.oldest ?? null,
      workers: serving.map(({ id, name }) => ({ id, name }))
    }
  })
}

interface Counted {
  queue: string
  waiting: string
  running: string
  oldest: number | null
}

/** By indexes; the oldest is the first in its queue's order of time that may run. */
async function countUnits(db: Database): Promise<Counted[]> {
  const { rows } = await sql<Counted>`
    with waiting as (select queue, count(*) as units from units where status = 'QUEUED' group by queue),
      running as (select queue, count(*) as units from units where status = 'RUNNING' group by queue)
    select queue, coalesce(waiting.units, 0) as waiting, coalesce(running.units, 0) as running,
      extract(epoch from now() - oldest.since)::float8 as oldest
    from waiting full join running using (queue)
    left join lateral (
      select greatest(units.queued_at, units.not_before) as since from units
      where units.queue = waiting.queue and status = 'QUEUED' and (not_before is null or not_before <= now())
      order by units.queued_at limit 1
    ) as oldest on true`.execute(db)
  return rows
}
