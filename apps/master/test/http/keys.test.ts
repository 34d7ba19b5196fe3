import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createKeys } from '../../src/http/keys.ts'
import { readEvents } from './event-stream.ts'
import { startApp, type TestApp } from './start-app.ts'
import { insertTranscription } from './transcription-rows.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

type Method = 'GET' | 'POST' | 'DELETE'
const ask = async (method: Method, url: string, payload?: object, headers = one.bearer('admin')) =>
  await one.app.inject({ method, url, headers, ...(payload && { payload }) })
const list = async (): Promise<Array<Record<string, unknown>>> => (await ask('GET', '/api/keys')).json().items
const make = async (name: string, ...scopes: string[]): Promise<{ id: string; key: string }> =>
  (await ask('POST', '/api/keys', { name, scopes })).json()
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const status = async (key: string) => (await ask('GET', '/api/jobs', undefined, bearer(key))).statusCode

it('makes a key that is shown once, may do what its scopes say, and is refused once it is revoked', async () => {
  const answer = await ask('POST', '/api/keys', { name: ' night job ', scopes: ['submit', 'submit', 'read'] })
  expect([answer.statusCode, answer.headers['cache-control']]).toEqual([201, 'no-store'])
  const made = answer.json()
  const { key, ...shown } = made
  expect(shown).toEqual({
    id: expect.any(String),
    name: 'night job',
    scopes: ['submit', 'read'],
    createdAt: expect.any(String),
    lastUsedAt: null,
    revokedAt: null
  })
  expect(await list()).toContainEqual(shown)
  expect((await ask('GET', '/api/keys')).body).not.toContain(key)
  expect(await status(key)).toBe(200)
  expect((await ask('GET', '/api/keys', undefined, bearer(key))).statusCode).toBe(403)
  const used = async () => (await list()).find(({ id }) => id === made.id)?.lastUsedAt
  await expect.poll(used).toEqual(expect.any(String))

  const revoked = await ask('DELETE', `/api/keys/${made.id}`)
  expect([revoked.statusCode, revoked.json()]).toEqual([
    200,
    { ...shown, lastUsedAt: await used(), revokedAt: expect.any(String) }
  ])
  expect(await status(key)).toBe(401)
  expect((await ask('DELETE', `/api/keys/${made.id}`)).json()).toEqual(revoked.json())
  expect((await ask('DELETE', '/api/keys/none')).statusCode).toBe(404)
})

it('a stream of events ends with the key by which it was opened', async () => {
  const address = await one.listen()
  const { id, key } = await make('listener', 'read')
  const jobId = await insertTranscription(one.deps.db)
  const opened = Promise.withResolvers<void>()
  const heard = readEvents(`${address}/api/jobs/${jobId}/events`, bearer(key), () => {
    opened.resolve()
    return false
  })
  await opened.promise
  await ask('DELETE', `/api/keys/${id}`)
  expect((await heard).map(({ event }) => event)).not.toContain('done')
})

it('lists no keys of workers, and ends none', async () => {
  expect((await list()).flatMap(({ scopes }) => scopes)).not.toContain('worker')
  const { id } = await one.deps.db
    .selectFrom('api_keys')
    .select('id')
    .where('name', '=', 'worker')
    .executeTakeFirstOrThrow()
  expect((await ask('DELETE', `/api/keys/${id}`)).statusCode).toBe(404)
})

it.each([
  [{ name: '', scopes: ['read'] }],
  [{ name: 'x', scopes: [] }],
  [{ name: 'x', scopes: ['worker'] }],
  [{ name: 'x', scopes: ['deploy'] }],
  [{ name: 'x', scopes: ['read'], quota: 1 }],
  [{ scopes: ['read'] }]
])('refuses %j', async payload => {
  const answer = await ask('POST', '/api/keys', payload)
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
})

it('keeps the last admin key', async () => {
  const last = await make('last', 'admin')
  const others = (await list()).filter(({ scopes, id }) => `${scopes}`.includes('admin') && id !== last.id)
  const revoke = async (id: unknown) => await ask('DELETE', `/api/keys/${id}`, undefined, bearer(last.key))
  for (const { id } of others) expect((await revoke(id)).statusCode).toBe(200)
  const refused = await revoke(last.id)
  expect([refused.statusCode, refused.json().code]).toEqual([409, 'SC_LAST_ADMIN_KEY'])
  expect(await status(last.key)).toBe(200)
  // The key of the data folder was among the others: a restart makes another, and not the old one good again.
  const old = readFileSync(one.dir.adminKey, 'utf8').trim()
  await createKeys({ db: one.deps.db, dataDir: one.dir, adminKey: undefined })
  const fresh = readFileSync(one.dir.adminKey, 'utf8').trim()
  expect([await status(old), await status(fresh)]).toEqual([401, 200])
  await expect(createKeys({ db: one.deps.db, dataDir: one.dir, adminKey: old })).rejects.toMatchObject({
    code: 'SC_CONFIG'
  })
})

it('a key that the configuration replaces ends, and is good again when that is taken back', async () => {
  const use = (adminKey: string) => createKeys({ db: one.deps.db, dataDir: one.dir, adminKey })
  // The master that answers looks a key up again after a second.
  const become = (...expected: number[]) =>
    vi.waitFor(
      async () => expect([await status('the-first-admin-key'), await status('the-second-admin-key')]).toEqual(expected),
      { timeout: 5_000, interval: 100 }
    )
  await use('the-first-admin-key')
  await use('the-second-admin-key')
  await become(401, 200)
  await use('the-first-admin-key')
  await become(200, 401)
})
