import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { createTestDatabase } from '../database.ts'

const databases: Array<Awaited<ReturnType<typeof createTestDatabase>>> = []
beforeAll(async () => {
  databases.push(await createTestDatabase(), await createTestDatabase())
})
afterAll(async () => {
  for (const database of databases) await database.drop()
})

async function query<T extends pg.QueryResultRow>(url: string, statement: string): Promise<T[]> {
  const client = new pg.Client(url)
  await client.connect()
  return (await client.query<T>(statement).finally(() => client.end())).rows
}

const tables = `select table_name as name from information_schema.tables where table_schema = 'public' order by 1`

test('each test database has every migration and nothing of another', async () => {
  const [one, two] = databases.map(database => database.url) as [string, string]
  const names = (await query<{ name: string }>(one, tables)).map(row => row.name)
  expect(names).toEqual(expect.arrayContaining(['jobs', 'units']))
  await query(one, 'create table only_here (id int)')
  expect((await query<{ name: string }>(two, tables)).map(row => row.name)).toEqual(names)
})

test('a second migration of a current database changes nothing', async () => {
  const [, two] = databases.map(database => database.url) as [string, string]
  const before = await query(two, 'select name from migrations order by id')
  await migrate(two)
  expect(await query(two, 'select name from migrations order by id')).toEqual(before)
})
