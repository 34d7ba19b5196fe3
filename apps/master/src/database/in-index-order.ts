import { sql } from 'kysely'
import { BY_INDEXES } from './connect.ts'
import type { Database, DatabaseTransaction } from './schema.ts'

/**
 * Runs reads of which each has an index in whose order it goes, and of which none may read or sort a whole table. Left to
 * itself PostgreSQL decides by its counts of when it last looked: a queue that was empty then is taken for empty, and
 * with 100,000 units in it a list of 50 jobs took 5 s. All reads see the same moment.
 */
export async function inIndexOrder<T>(db: Database, read: (trx: DatabaseTransaction) => Promise<T>): Promise<T> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async trx => {
      await sql`select set_config(name, 'off', true) from unnest(${BY_INDEXES}::text[]) as name`.execute(trx)
      return await read(trx)
    })
}
