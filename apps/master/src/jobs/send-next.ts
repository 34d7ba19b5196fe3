import { sql } from 'kysely'
import type { Database, UnitRow } from '../database/schema.ts'

/**
 * Takes the units that belong at the head of a queue and are not in it: of all its units that may run now, the first
 * `most` by priority and rank. Marks them as sent; the caller puts them into Redis. Should it not come to that, the
 * reconciler does.
 *
 * The rest waits here: Redis holds no more than what goes next, a cancelled job of 100,000 units leaves nothing in it,
 * and a unit that comes later and goes first is sent at once.
 */
export async function markHead(db: Database, queue: string, most: number): Promise<UnitRow[]> {
  const head = db
    .selectFrom('units')
    .select('id')
    .where('queue', '=', queue)
    .where('status', '=', 'QUEUED')
    .where(eb => eb.or([eb('not_before', 'is', null), eb('not_before', '<=', sql<Date>`now()`)]))
    .orderBy('priority', 'desc')
    .orderBy('rank')
    .orderBy('queued_at')
    .limit(most)
  return await db
    .updateTable('units')
    .set({ sent_at: sql<Date>`now()`, touched_at: sql<Date>`now()` })
    .where('id', 'in', head)
    .where('status', '=', 'QUEUED')
    .where('sent_at', 'is', null)
    .returningAll()
    .execute()
}

/** Queues that have units which are not in Redis; looks from one name to the next, not at every unit. */
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
