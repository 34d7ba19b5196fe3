import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { runner } from 'node-pg-migrate'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { areOldWorkersAwaited } from '../../src/cluster/old-workers.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createTestDatabase } from '../database.ts'

let database: Awaited<ReturnType<typeof createTestDatabase>>
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('a worker is old by when it was enrolled as well as by what it wrote, and has had its tasks since then', async () => {
  const dir = fileURLToPath(new URL('../../src/database/migrations', import.meta.url))
  await runner({
    databaseUrl: database.url,
    dir,
    direction: 'down',
    migrationsTable: 'migrations',
    // Those since then.
    count: readdirSync(dir).filter(name => name >= '0022_what_workers_cannot_choose').length,
    log: () => {}
  })
  const db = connectDatabase(database.url, () => {})
  try {
    const enrolled = (id: string, enrolled_at: Date, protocol: number) => ({
      ...{ id, name: id, hostname: 'desk', enrolled_at, queues: [] },
      presence: JSON.stringify({ protocol }),
      tasks: JSON.stringify([{ name: 'nap' }])
    })
    const before = new Date('2020-01-01T00:00:00Z')
    const rows = [
      enrolled('claims-it', new Date(), 1),
      enrolled('huge', before, 1e308),
      enrolled('old', before, 4),
      enrolled('updated', before, 5)
    ]
    await db.insertInto('workers').values(rows).execute()
    await migrate(database.url)
    const found = await db.selectFrom('workers').select(['id', 'is_old', 'tasks_since']).orderBy('id').execute()
    expect(found.filter(row => row.is_old).map(({ id }) => id)).toEqual(['old'])
    expect(found.find(({ id }) => id === 'old')?.tasks_since).toEqual({ nap: before.getTime() })

    // For a week after the update, and while there is one.
    const updated = (days: number) =>
      sql`update migrations set run_on = now() - make_interval(days => ${days})`.execute(db)
    expect(await areOldWorkersAwaited(db)).toBe(true)
    await updated(8)
    expect(await areOldWorkersAwaited(db)).toBe(false)
    await updated(6)
    expect(await areOldWorkersAwaited(db)).toBe(true)
    await db.updateTable('workers').set({ revoked_at: new Date() }).where('id', '=', 'old').execute()
    expect(await areOldWorkersAwaited(db)).toBe(false)
  } finally {
    await db.destroy()
  }
})
