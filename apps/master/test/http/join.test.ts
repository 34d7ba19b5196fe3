import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { MOST_OPEN_EACH } from '../../src/cluster/join-codes.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { logIn } from './browser.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())
beforeEach(async () => {
  await one.deps.db
    .updateTable('join_codes')
    .set({ expires_at: new Date(0) })
    .execute()
})

const ask = async (method: 'GET' | 'POST', headers: Record<string, string> = one.bearer('admin')) => {
  const url = method === 'GET' ? '/api/cluster/join' : '/api/cluster/join-codes'
  const answer = await one.app.inject({ method, url, headers })
  return { statusCode: answer.statusCode, ...answer.json<{ command: string; expiresAt: string | null }>() }
}
const userIn = (command: string): string => /\/\/([\w-]+):/.exec(command)?.[1] ?? ''
const open = async (): Promise<string[]> => {
  const good = one.deps.db.selectFrom('join_codes').select('id').where('used_at', 'is', null)
  return (await good.where('expires_at', '>', sql<Date>`now()`).orderBy('created_at').execute()).map(({ id }) => id)
}
const admin = async () => {
  const { key } = await createKey(one.deps.db, { name: 'another', scopes: ['admin'] })
  return { authorization: `Bearer ${key}` }
}

it('a page of another site, or an image, cannot have a browser make a join code', async () => {
  const { headers, cookie } = await logIn(one)
  for (const more of [
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-dest': 'image' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'image' }
  ])
    await one.app.inject({ url: '/api/cluster/join', headers: { ...headers, ...more } })
  await one.app.inject({ method: 'HEAD', url: '/api/cluster/join', headers })
  expect(await open()).toEqual([])
  const origin = 'http://evil.example'
  expect((await ask('POST', { cookie, origin, 'sec-fetch-site': 'cross-site' })).statusCode).not.toBe(201)
  expect(await open()).toEqual([])
})

it('a session sees the code that it made, until it is used', async () => {
  const { headers } = await logIn(one)
  const none = await ask('GET', headers)
  expect(none).toMatchObject({ statusCode: 200, expiresAt: null, command: expect.stringContaining('//USER:SECRET@') })
  expect(none).toMatchObject({ prerequisites: expect.arrayContaining([expect.stringMatching(/a join code: .*POST/)]) })
  const made = await ask('POST', { ...headers, origin: 'http://localhost' })
  expect(made.statusCode).toBe(201)
  expect(await ask('GET', headers)).toEqual({ ...made, statusCode: 200 })
  expect((await ask('GET', (await logIn(one)).headers)).expiresAt).toBeNull()
  await one.deps.db
    .updateTable('join_codes')
    .set({ used_at: new Date() })
    .where('id', '=', userIn(made.command))
    .execute()
  expect((await ask('GET', headers)).expiresAt).toBeNull()
})

it('a key gets a code by one GET, and the same one again while it is good', async () => {
  const first = await ask('GET')
  expect(userIn(first.command)).toMatch(/^join-/)
  expect(await ask('GET')).toEqual(first)
  expect(await open()).toEqual([userIn(first.command)])
  const next = await ask('POST')
  expect(next.command).not.toBe(first.command)
  expect((await ask('GET')).command).toBe(next.command)
  await one.deps.db.updateTable('join_codes').set({ used_at: new Date() }).execute()
  expect((await ask('GET')).command).not.toBe(next.command)
  // Not even another admin is shown it.
  expect((await ask('GET', await admin())).command).not.toBe((await ask('GET')).command)
})

it('who makes hundreds of codes ends its own oldest ones, and nobody else has to wait', async () => {
  const quiet = await admin()
  const kept = userIn((await ask('POST', quiet)).command)
  const made: string[] = []
  for (let time = 0; time < 210; time++) {
    const { statusCode, command } = await ask('POST')
    expect(statusCode).toBe(201)
    made.push(userIn(command))
  }
  expect(await open()).toEqual([kept, ...made.slice(-MOST_OPEN_EACH)])
  expect((await ask('POST', quiet)).statusCode).toBe(201)
  expect((await ask('GET', await admin())).statusCode).toBe(200)
  const users = async () => (await one.deps.redis.call('ACL', 'USERS')) as string[]
  await expect.poll(async () => (await users()).filter(user => made.includes(user)).length).toBe(MOST_OPEN_EACH)
  expect(await users()).toContain(kept)
})

it('with more callers than there may be codes, each newest one goes before any second one', async () => {
  const { db, access } = one.deps
  for (let at = 0; at < 3; at++) await access.createJoinCode('first')
  for (let at = 0; at < 199; at++) await access.createJoinCode(`caller-${at}`)
  const rows = await db.selectFrom('join_codes').select('made_by').where('expires_at', '>', sql<Date>`now()`).execute()
  expect(rows).toHaveLength(200)
  expect(new Set(rows.map(({ made_by }) => made_by)).size).toBe(200)
})
