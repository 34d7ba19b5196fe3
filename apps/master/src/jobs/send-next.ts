import { RANKS_PER_LAP } from '@sc/shared/queue-order.ts'
import { sql } from 'kysely'
import { isQueuedById } from '../database/by-id.ts'
import { type Database, OPEN_UNIT, type UnitRow } from '../database/schema.ts'

/** Inputs of a queue's units that are in Redis, together. */
const MOST_BYTES = 32 * 1024 ** 2

/**
 * Takes the units that belong at the head of a queue and are not in it: of all its units that may run now, the first
 * `most` by priority and rank. Marks them as sent; the caller puts them into Redis. Should it not come to that, the
 * reconciler does.
 *
 * The rest waits here: Redis holds no more than what goes next, a cancelled job of 100,000 units leaves nothing in it,
 * and a unit that comes later and goes first is sent at once.
 *
 * Held back are units of a later lap than the first of their priority, since within Redis ranks count modulo
 * RANKS_PER_LAP; and what would be more than MOST_BYTES, but the first.
 */
export async function markHead(db: Database, queue: string, most: number): Promise<UnitRow[]> {
  const { rows } = await sql<UnitRow>`
    with first as (
      select id, priority, rank, queued_at, pg_column_size(params) as bytes from units
      where queue = ${queue} and status = 'QUEUED' and (not_before is null or not_before <= now())
      order by priority desc, rank, queued_at limit ${most}
    ), head as (
      select id, floor(rank / ${RANKS_PER_LAP}) as lap,
        floor(first_value(rank) over (partition by priority order by rank) / ${RANKS_PER_LAP}) as first_lap,
        sum(bytes) over in_order as bytes, row_number() over in_order as place
      from first window in_order as (order by priority desc, rank, queued_at)
    )
    update units set sent_at = now(), touched_at = now() from head
    where units.id = head.id and lap = first_lap and (bytes <= ${MOST_BYTES} or place = 1)
      and ${isQueuedById} and sent_at is null
    returning units.*`.execute(db)
  return rows
}

/** Those of the units that are no longer open. */
export async function endedOf(db: Database, units: UnitRow[]): Promise<UnitRow[]> {
  if (units.length === 0) return []
  const ids = units.map(({ id }) => id)
  const ended = await db
    .selectFrom('units')
    .select('id')
    .where('id', 'in', ids)
    .where('status', 'not in', OPEN_UNIT)
    .execute()
  const found = new Set(ended.map(({ id }) => id))
  return units.filter(({ id }) => found.has(id))
}

/** Queues that have units which wait; looks from one name to the next, not at every unit. */
export async function queuesWithUnits(db: Database): Promise<string[]> {
  const { rows } = await sql<{ queue: string | null }>`
    with recursive names as (
      (select queue from units where status = 'QUEUED' order by queue limit 1)
      union all
      select (select queue from units where status = 'QUEUED' and queue > names.queue order by queue limit 1)
      from names where names.queue is not null
    )
    select queue from names where queue is not null`.execute(db)
  return rows.flatMap(({ queue }) => queue ?? [])
}
