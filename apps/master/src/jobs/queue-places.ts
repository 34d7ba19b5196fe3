import { sql } from 'kysely'
import type { DatabaseTransaction } from '../database/schema.ts'
import type { SelectedJob } from './select-jobs.ts'

/** Nobody needs to know whether 200 or 20,000 go before; without an end counting takes minutes. */
const COUNTED_UP_TO = 200

/**
 * What goes before each job that is PENDING: units of its queue, while it is not planned jobs; counted up to 200 of a
 * higher and 200 of the same priority. The beginning of each queue is read once for all jobs in it.
 */
export async function readPlaces(trx: DatabaseTransaction, jobs: SelectedJob[]): Promise<Map<string, number>> {
  const pending = jobs.filter(({ status }) => status === 'PENDING')
  const queued = pending.filter(({ next_queue }) => next_queue !== null)
  const unplanned = pending.filter(({ next_queue }) => next_queue === null)
  return new Map([...(await placesOfUnits(trx, queued)), ...(await placesOfJobs(trx, unplanned))])
}

async function placesOfUnits(trx: DatabaseTransaction, jobs: SelectedJob[]): Promise<Array<[string, number]>> {
  if (jobs.length === 0) return []
  const keyOf = (queue: unknown, priority: unknown): string => `${priority} ${queue}`
  const heads = new Map(jobs.map(job => [keyOf(job.next_queue, job.next_priority), job]))
  const { rows } = await sql<{ queue: string; priority: number; higher: number; ranks: number[]; queued_us: number[] }>`
    select head.queue, head.priority,
      (select count(*)::integer from (select from units as o where o.queue = head.queue and o.status = 'QUEUED'
        and o.priority > head.priority and o.is_due
        order by o.priority desc limit ${COUNTED_UP_TO}) as higher) as higher,
      same.ranks, same.queued_us
    from unnest(
      ${[...heads.values()].map(job => job.next_queue)}::text[],
      ${[...heads.values()].map(job => job.next_priority)}::integer[]
    ) as head (queue, priority)
    cross join lateral (
      select coalesce(array_agg(o.rank), '{}') as ranks,
        coalesce(array_agg((extract(epoch from o.queued_at) * 1000000)::float8), '{}') as queued_us
      from (select rank, queued_at from units where queue = head.queue and status = 'QUEUED'
        and priority = head.priority and is_due
        order by rank, queued_at limit ${COUNTED_UP_TO}) as o
    ) as same`.execute(trx)
  const found = new Map(rows.map(row => [keyOf(row.queue, row.priority), row]))
  return jobs.map(({ id, next_queue, next_priority, next_rank, next_queued_us }) => {
    const head = found.get(keyOf(next_queue, next_priority))
    const [rank, queuedUs] = [next_rank ?? 0, next_queued_us ?? 0]
    const older = head?.ranks.filter((one, at) => isBefore([one, head.queued_us[at] ?? 0], [rank, queuedUs])) ?? []
    return [id, (head?.higher ?? 0) + older.length]
  })
}

function isBefore([rank, at]: [number, number], [otherRank, otherAt]: [number, number]): boolean {
  return rank < otherRank || (rank === otherRank && at < otherAt)
}

async function placesOfJobs(trx: DatabaseTransaction, jobs: SelectedJob[]): Promise<Array<[string, number]>> {
  if (jobs.length === 0) return []
  const priorities = [...new Set(jobs.map(({ priority }) => priority))]
  const { rows } = await sql<{ priority: number; higher: number; ids: string[] }>`
    select head.priority,
      (select count(*)::integer from (select from jobs as o where o.status in ('PENDING', 'RUNNING')
        and o.priority > head.priority order by o.priority, o.created_at, o.id limit ${COUNTED_UP_TO}) as higher) as higher,
      (select coalesce(array_agg(o.id), '{}') from (select id from jobs
        where status in ('PENDING', 'RUNNING') and priority = head.priority
        order by priority, created_at, id limit ${COUNTED_UP_TO}) as o) as ids
    from unnest(${priorities}::integer[]) as head (priority)`.execute(trx)
  const found = new Map(rows.map(row => [row.priority, row]))
  return jobs.map(({ id, priority }) => {
    const { higher = 0, ids = [] } = found.get(priority) ?? {}
    const older = ids.indexOf(id)
    return [id, higher + (older < 0 ? COUNTED_UP_TO : older)]
  })
}
