import { type SqlBool, sql } from 'kysely'
import type { Database, DatabaseTransaction } from '../database/schema.ts'
import type { OffersRow } from './task-claims.ts'

/**
 * What workers offer, as it was read: a worker's tasks are up to 256 KB, and are asked for whenever something is
 * submitted or registered. They are read anew when its registration is another.
 */
const kept = new Map<string, { version: string; tasks: OffersRow['tasks'] }>()

/** Each registration has its own time; the size is there without reading what it is of. */
const VERSION = sql<string>`concat_ws(' ', tasks_at, pg_column_size(tasks))`
const FEW_COLUMNS = ['id', 'name', 'tasks_at', 'tasks_since', 'tasks_left', 'queues'] as const

/** Of all workers that are not revoked, by name. */
export async function readOffers(db: Database | DatabaseTransaction): Promise<OffersRow[]> {
  const known = db.selectFrom('workers').where('revoked_at', 'is', null).orderBy('name')
  const few = await known.select([...FEW_COLUMNS, VERSION.as('version')]).execute()
  const ids = new Set(few.map(({ id }) => id))
  for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id)
  const changed = few.filter(({ id, version }) => kept.get(id)?.version !== version).map(({ id }) => id)
  // What is kept now: another reader may keep other rows meanwhile.
  const tasksOf = new Map([...kept].map(([id, { tasks }]) => [id, tasks]))
  const fresh = new Map<string, OffersRow>()
  if (changed.length > 0) {
    const columns = [...FEW_COLUMNS, 'tasks', VERSION.as('version')] as const
    const isChanged = sql<SqlBool>`id = any(${changed})`
    for (const { version, ...row } of await known.select(columns).where(isChanged).execute()) {
      kept.set(row.id, { version, tasks: row.tasks })
      fresh.set(row.id, row)
    }
  }
  const isRead = new Set(changed)
  return few.flatMap(({ version: _, ...row }): OffersRow[] => {
    if (!isRead.has(row.id)) return [{ ...row, tasks: tasksOf.get(row.id) ?? [] }]
    const whole = fresh.get(row.id)
    return whole ? [whole] : []
  })
}
