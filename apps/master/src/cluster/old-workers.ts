import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'

/** So long after its update the master's Redis lets workers of before protocol 5 log in, to hear that they are to be updated. */
const TOLD_FOR = sql`interval '7 days'`

/**
 * Whether there are workers that were enrolled before protocol 5 and were not updated since: they log in to Redis by HELLO,
 * which it has for nobody else (0019).
 */
export async function areOldWorkersAwaited(db: Database): Promise<boolean> {
  const { rows } = await sql<{ awaited: boolean }>`
    select exists (select from workers where is_old and revoked_at is null and quarantined_at is null)
      and exists (select from migrations where name = '0022_what_workers_cannot_choose' and run_on > now() - ${TOLD_FOR})
      as awaited`.execute(db)
  return rows[0]?.awaited ?? false
}
