import { sql } from 'kysely'
import { inIndexOrder } from '../database/in-index-order.ts'
import { keepLarge, perDatabase } from '../database/keep-large.ts'
import type { Database } from '../database/schema.ts'

export interface OpenUnits {
  queue: string
  waiting: number
  running: number
  /** How long the oldest waits that may run now; null: none does. */
  oldestSeconds: number | null
}

/** Open units of every queue that has any. By indexes; the oldest is the first in its queue's order of time. */
export const readOpenUnits = shared(
  async (db): Promise<OpenUnits[]> => {
    const { rows } = await inIndexOrder(db, trx =>
      sql<OpenUnits>`
      with waiting as (select queue, count(*) as units from units where status = 'QUEUED' group by queue),
        running as (select queue, count(*) as units from units where status = 'RUNNING' group by queue)
      select queue, coalesce(waiting.units, 0)::float8 as waiting, coalesce(running.units, 0)::float8 as running,
        extract(epoch from now() - oldest.since)::float8 as "oldestSeconds"
      from waiting full join running using (queue)
      left join lateral (
        select greatest(units.queued_at, units.not_before) as since from units
        where units.queue = waiting.queue and status = 'QUEUED' and is_due
        order by units.queued_at limit 1
      ) as oldest on true`.execute(trx)
    )
    return rows
  },
  units => sum(units.map(({ waiting, running }) => waiting + running))
)

export interface OpenJobs {
  PENDING: number
  RUNNING: number
}

export const readOpenJobs = shared(
  async (db): Promise<OpenJobs> => {
    const { rows } = await inIndexOrder(db, trx =>
      sql<{ open: number; running: number }>`
      select (select count(*) from jobs where status in ('PENDING', 'RUNNING'))::float8 as open,
        (select count(*) from jobs where status = 'RUNNING')::float8 as running`.execute(trx)
    )
    const { open = 0, running = 0 } = rows[0] ?? {}
    return { PENDING: open - running, RUNNING: running }
  },
  ({ PENDING, RUNNING }) => PENDING + RUNNING
)

/** Of all queues together. */
export function totalOf(units: OpenUnits[]): { QUEUED: number; RUNNING: number } {
  return { QUEUED: sum(units.map(({ waiting }) => waiting)), RUNNING: sum(units.map(({ running }) => running)) }
}

function shared<T>(read: (db: Database) => Promise<T>, sizeOf: (answer: T) => number): (db: Database) => Promise<T> {
  const readerOf = perDatabase(db => keepLarge(() => read(db), sizeOf))
  return async db => await readerOf(db)()
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
