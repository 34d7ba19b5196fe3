import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { lockTasks, shareOutTasks } from './task-claims.ts'

/** Revokes a worker in PostgreSQL: its key for blobs ends with it. False: there is none that is not revoked. */
export async function revoke(db: Database, workerId: string): Promise<boolean> {
  return await db.transaction().execute(async trx => {
    // After what is being applied of its answers: whoever does them anew finds all.
    await trx.selectFrom('workers').select('id').where('id', '=', workerId).forUpdate().execute()
    const worker = await trx
      .updateTable('workers')
      .set({ revoked_at: sql<Date>`coalesce(revoked_at, now())` })
      .where('id', '=', workerId)
      .returning('id')
      .executeTakeFirst()
    await trx
      .updateTable('api_keys')
      .set({ revoked_at: sql<Date>`now()` })
      .where('worker_id', '=', workerId)
      .where('revoked_at', 'is', null)
      .execute()
    return worker !== undefined
  })
}

/** What it offered counts no more. In a transaction of its own: whoever registers waits for the revocation, in turn. */
export async function shareOut(db: Database): Promise<void> {
  await db.transaction().execute(async trx => {
    await lockTasks(trx)
    await shareOutTasks(trx)
  })
}
