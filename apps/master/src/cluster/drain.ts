import type { Redis } from 'ioredis'
import type { Database } from '../database/schema.ts'
import { sendControl } from './control.ts'
import type { WorkerPresence, WorkerRow } from './presence.ts'

export interface DrainDeps {
  db: Database
  redis: Redis
  presence: Pick<WorkerPresence, 'workers'>
}

/**
 * Tells a worker to take no more units, or to take them again. Kept with the worker, so it holds after its restart.
 * Answers its row as it will be; null: there is no such worker, or it was never there; nothing is kept then.
 */
export async function setDraining(
  { db, redis, presence }: DrainDeps,
  workerId: string,
  draining: boolean
): Promise<WorkerRow | null> {
  const row = presence.workers().find(({ id }) => id === workerId)
  if (!row) return null
  const known = await db
    .updateTable('workers')
    .set({ draining })
    .where('id', '=', workerId)
    .where('revoked_at', 'is', null)
    .returning('id')
    .executeTakeFirst()
  if (!known) return null
  await sendControl(redis, workerId, { type: draining ? 'drain' : 'resume' })
  return row.status === 'offline' ? row : { ...row, status: draining ? 'draining' : 'online' }
}
