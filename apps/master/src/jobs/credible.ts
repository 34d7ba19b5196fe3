import { sql } from 'kysely'
import type { DatabaseTransaction } from '../database/schema.ts'
import type { Said } from './accept-batch.ts'

/**
 * Of what was said of units, what its worker could know: it ran the unit last, or the unit was once sent and its queue
 * is one of the worker's. Anything else was made up. One statement for all of a batch.
 */
export async function credibleOf(
  trx: DatabaseTransaction,
  said: Said[]
): Promise<{ credible: Said[]; forged: Said[] }> {
  const pairs = new Map<string, { unit_id: string; worker_id: string }>()
  for (const { workerId, message } of said)
    if (message.type !== 'registered')
      pairs.set(pairOf(workerId, message.unitId), { unit_id: message.unitId, worker_id: workerId })
  if (pairs.size === 0) return { credible: said, forged: [] }
  const { rows } = await sql<{ unit_id: string; worker_id: string }>`
    select said.unit_id, said.worker_id
    from jsonb_to_recordset(${JSON.stringify([...pairs.values()])}::jsonb) as said (unit_id text, worker_id text)
    join units on units.id = said.unit_id
    left join workers on workers.id = said.worker_id
    where units.worker_id is distinct from said.worker_id
      and (units.sent_at is null or not coalesce(units.queue = any(workers.queues), true))`.execute(trx)
  if (rows.length === 0) return { credible: said, forged: [] }
  const forged = new Set(rows.map(({ unit_id, worker_id }) => pairOf(worker_id, unit_id)))
  const isForged = ({ workerId, message }: Said): boolean =>
    message.type !== 'registered' && forged.has(pairOf(workerId, message.unitId))
  return { credible: said.filter(one => !isForged(one)), forged: said.filter(isForged) }
}

function pairOf(workerId: string, unitId: string): string {
  return `${workerId} ${unitId}`
}
