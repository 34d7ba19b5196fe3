import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readOffers } from '../../src/cluster/offers.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import type { Database } from '../../src/database/schema.ts'
import { createTestDatabase } from '../database.ts'

let database: Awaited<ReturnType<typeof createTestDatabase>>
let db: Database

beforeAll(async () => {
  database = await createTestDatabase()
  db = connectDatabase(database.url, () => {})
})
afterAll(async () => {
  await db.destroy()
  await database.drop()
})

const task = (name: string): TaskDescription => ({
  ...{ name, description: '', gpu: false, vramGb: 0, features: [], builtIn: false },
  ...{ inputSchema: {}, outputSchema: {} }
})
const enrol = (id: string, ...names: string[]) =>
  db
    .insertInto('workers')
    .values({ id, name: id, hostname: 'desk', tasks: JSON.stringify(names.map(task)), tasks_at: sql<Date>`now()` })
    .execute()
const change = (id: string, set: object) => db.updateTable('workers').set(set).where('id', '=', id).execute()
const register = (id: string, ...names: string[]) =>
  change(id, { tasks: JSON.stringify(names.map(task)), tasks_at: sql`clock_timestamp()` })
const offers = async () =>
  (await readOffers(db)).map(({ id, tasks }) => `${id}: ${tasks.map(({ name }) => name).join(' ')}`)

test('the tasks of a worker are read anew when it has registered, and only its', async () => {
  await enrol('w-1', 'nap')
  await enrol('w-2', 'run')
  await enrol('w-3')
  expect(await offers()).toEqual(['w-1: nap', 'w-2: run', 'w-3: '])
  const before = await readOffers(db)
  await register('w-2', 'hop')
  const after = await readOffers(db)
  expect(after.map(({ tasks }, at) => tasks === before[at]?.tasks)).toEqual([true, false, true])
  expect(after[1]?.tasks).toEqual([task('hop')])
  // Tasks of a like size, and another time of them.
  await register('w-2', 'pop')
  expect(await offers()).toEqual(['w-1: nap', 'w-2: pop', 'w-3: '])
})

test('what decides beside them is as of now; who is revoked offers nothing', async () => {
  const left = { run: { leftMs: 1, digest: 'x' } }
  await change('w-1', { name: 'z', tasks_since: '{"nap":5}', tasks_left: JSON.stringify(left) })
  await change('w-2', { revoked_at: sql`now()` })
  const [, last, ...more] = await readOffers(db)
  expect(last).toMatchObject({ id: 'w-1', name: 'z', tasks: [task('nap')], tasks_since: { nap: 5 }, tasks_left: left })
  expect(more).toEqual([])
})

test('a registration that is taken back leaves nothing behind', async () => {
  const taken = db.transaction().execute(async trx => {
    const tasks = JSON.stringify([task('mad')])
    await trx.updateTable('workers').set({ tasks, tasks_at: sql<Date>`now()` }).where('id', '=', 'w-1').execute()
    expect((await readOffers(trx)).find(({ id }) => id === 'w-1')?.tasks).toEqual([task('mad')])
    throw new Error('taken back')
  })
  await expect(taken).rejects.toThrow('taken back')
  expect(await offers()).toEqual(['w-3: ', 'w-1: nap'])
})

test('tasks of a megabyte each are asked for again in no time', async () => {
  const numbers = Array.from({ length: 300_000 }, (_, n) => n % 10)
  const large = JSON.stringify([{ ...task('large'), inputSchema: { default: numbers } }])
  await change('w-3', { tasks: large, tasks_at: sql`clock_timestamp()` })
  const took = async () => {
    const startMs = performance.now()
    await readOffers(db)
    return performance.now() - startMs
  }
  const firstMs = await took()
  const againMs = [await took(), await took(), await took()]
  expect(Math.min(...againMs)).toBeLessThan(firstMs / 4)
})
