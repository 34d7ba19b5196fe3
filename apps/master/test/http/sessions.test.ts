import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createReleasers } from '@sc/shared/releasers.ts'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKeys } from '../../src/http/keys.ts'
import { cookieOf, logIn } from './browser.ts'
import { openApp } from './open-app.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

type Headers = Record<string, string>
const status = async (headers: Headers, { app }: Pick<TestApp, 'app'> = one) =>
  (await app.inject({ url: '/api/jobs', headers })).statusCode
const list = async (headers: Headers = one.bearer('admin')): Promise<Array<Record<string, unknown>>> =>
  (await one.app.inject({ url: '/api/sessions', headers })).json().items
const idOf = async (headers: Headers) => (await list(headers)).find(({ isCurrent }) => isCurrent)?.id as string
const age = async (id: string, seconds: number) => {
  const by = sql<Date>`last_used_at - make_interval(secs => ${seconds})`
  const expires = sql<Date>`expires_at - make_interval(secs => ${seconds})`
  const all = one.deps.db.updateTable('sessions').set({ last_used_at: by, expires_at: expires })
  await all.where('id', '=', id).execute()
}
const leftSeconds = async (id: string) => {
  const row = one.deps.db.selectFrom('sessions').where('id', '=', id)
  const { left } = await row
    .select(sql<number>`extract(epoch from expires_at - now())::float8`.as('left'))
    .executeTakeFirstOrThrow()
  return left
}
const DAY = 24 * 3600

it('a server on another port of the host gets the cookie, and can do nothing with it', async () => {
  const { hostname, port } = new URL(await one.listen())
  const caught = Promise.withResolvers<IncomingMessage>()
  const thief = createServer((request, response) => {
    caught.resolve(request)
    response.end()
  }).listen(0, hostname)
  await once(thief, 'listening')
  try {
    const host = `${hostname}:${port}`
    const { cookie, headers } = await logIn(one, host)
    // As a browser does that opens a page there: it sends the cookies of the host.
    await fetch(`http://${hostname}:${(thief.address() as AddressInfo).port}/`, { headers: { cookie } })
    const stolen = (await caught.promise).headers.cookie as string
    expect(stolen).toBe(cookie)
    const own = { 'sec-fetch-site': 'same-origin', origin: `http://${host}`, host }
    const other = (await logIn(one, host)).pageToken
    for (const more of [{}, { 'x-sc-page': '' }, { 'x-sc-page': 'guess' }, { 'x-sc-page': other }] as Headers[])
      for (const { method, url, scope } of one.app.routeTable.filter(({ url }) => url.startsWith('/api/'))) {
        if (scope === null) continue
        const answer = await one.app.inject({
          method: method as 'GET',
          url: url.replace(/:\w+/g, 'some-id'),
          headers: { ...own, ...more, cookie: stolen }
        })
        expect(answer.statusCode, `${method} ${url} ${JSON.stringify(more)}`).toBe(401)
      }
    // Nor does a session begin with it: only a login hands out what belongs to it.
    for (const method of ['GET', 'POST'] as const) {
      const answer = await one.app.inject({ method, url: '/login', headers: { ...own, cookie: stolen } })
      expect([answer.statusCode, answer.headers['set-cookie']]).toEqual([401, undefined])
    }
    expect(await status(headers)).toBe(200)
  } finally {
    thief.close()
  }
})

it('a cookie of the same name, set by another port of the host, locks nobody out', async () => {
  const { cookie, headers } = await logIn(one, '127.0.0.1:5080')
  const name = cookie.split('=')[0]
  for (const both of [`${name}=planted; ${cookie}`, `${cookie}; ${name}=planted`])
    expect(await status({ ...headers, cookie: both })).toBe(200)
})

it('the cookie alone opens only what is the same for everybody', async () => {
  const { cookie, pageToken } = await logIn(one)
  const alone = one.app.routeTable.filter(({ url }) => ['/docs/', '/docs/js/scalar.js', '/openapi.json'].includes(url))
  for (const { url } of alone) expect((await one.app.inject({ url, headers: { cookie } })).statusCode, url).toBe(200)
  expect(await status({ cookie })).toBe(401)
  expect(await status({ 'x-sc-page': pageToken })).toBe(401)
})

it('only hashes of both secrets are kept', async () => {
  const { cookie, pageToken } = await logIn(one)
  const rows = JSON.stringify(await one.deps.db.selectFrom('sessions').selectAll().execute())
  for (const secret of [cookie.split('=')[1] as string, pageToken]) {
    expect(rows).not.toContain(secret)
    expect(rows).not.toContain(JSON.stringify([...Buffer.from(secret)]))
    expect(one.lines.join('')).not.toContain(secret)
  }
})

describe('a session', () => {
  it('is good for a day from its last use', async () => {
    const { headers } = await logIn(one)
    const id = await idOf(headers)
    expect(await leftSeconds(id)).toBeGreaterThan(DAY - 60)
    await age(id, DAY - 60)
    expect(await leftSeconds(id)).toBeLessThan(61)
    const answer = await one.app.inject({ url: '/api/jobs', headers })
    expect(answer.statusCode).toBe(200)
    // The browser is to keep its cookie for as long.
    expect(cookieOf(answer)).toBe(headers.cookie)
    expect(`${answer.headers['set-cookie']}`).toContain('Max-Age=86400')
    expect(await leftSeconds(id)).toBeGreaterThan(DAY - 60)
    expect((await one.app.inject({ url: '/api/jobs', headers })).headers['set-cookie']).toBeUndefined()
    await age(id, DAY + 1)
    expect(await status(headers)).toBe(401)
    expect((await list()).map(session => session.id)).not.toContain(id)
  })

  it('from the tailnet lasts a day, however much it is used', async () => {
    const { setCookie, pageToken } = await one.deps.keys.sessions.open(
      { agent: undefined, isSecure: false },
      { loginName: 'ann@example.com', hostname: 'desk' }
    )
    const headers = { cookie: setCookie.split(';')[0] as string, 'x-sc-page': pageToken }
    const id = await idOf(headers)
    await age(id, DAY - 60)
    expect(await status(headers)).toBe(200)
    expect(await leftSeconds(id)).toBeLessThan(61)
  })

  it('holds at every master of one database, and over a restart', async () => {
    const { headers } = await logIn(one)
    const releasers = createReleasers()
    try {
      const second = await openApp(one.servers, releasers)
      expect(await status(headers, second)).toBe(200)
      await second.app.inject({ method: 'DELETE', url: '/api/sessions/current', headers: withOrigin(headers) })
      expect(await status(headers)).toBe(401)
    } finally {
      await releasers.release()
    }
  })

  it('ends with the admin key of its master', async () => {
    const own = await startApp()
    try {
      const { headers } = await logIn(own)
      expect(await status(headers, own)).toBe(200)
      const { db } = own.deps
      const next = await createKeys({ db, dataDir: own.dir, adminKey: 'another-admin-key-of-the-master' })
      expect(await status(headers, own)).toBe(401)
      expect(await next.sessions.list()).toEqual([])
    } finally {
      await own.release()
    }
  })
})

const withOrigin = (headers: Headers): Headers => ({ ...headers, origin: `http://${headers.host}` })

describe('the list of sessions', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await startApp()
  })
  afterAll(() => app.release())
  const sessions = async (headers: Headers) => (await app.app.inject({ url: '/api/sessions', headers })).json().items
  const remove = async (id: string, headers: Headers) =>
    await app.app.inject({ method: 'DELETE', url: `/api/sessions/${id}`, headers })

  it('names each, and ends one', async () => {
    const [first, second] = [await logIn(app), await logIn(app)]
    const shown = await sessions(second.headers)
    expect(shown).toHaveLength(2)
    expect(shown[0]).toEqual({
      id: expect.any(String),
      loginName: null,
      machine: null,
      agent: 'Test/1',
      createdAt: expect.any(String),
      lastUsedAt: expect.any(String),
      expiresAt: expect.any(String),
      isCurrent: true
    })
    expect(shown[1].isCurrent).toBe(false)
    expect((await remove(shown[1].id, withOrigin(second.headers))).statusCode).toBe(204)
    expect([await status(first.headers, app), await status(second.headers, app)]).toEqual([401, 200])
    expect((await remove(shown[1].id, app.bearer('admin'))).statusCode).toBe(404)
    expect((await remove('current', app.bearer('admin'))).statusCode).toBe(404)
    expect((await app.app.inject({ url: '/api/sessions', headers: app.bearer('read') })).statusCode).toBe(403)
  })

  it('is left by logging out', async () => {
    const { headers } = await logIn(app)
    const logout = async (sent: Headers) => await app.app.inject({ method: 'POST', url: '/api/logout', headers: sent })
    // A page of another site cannot have it done.
    expect((await logout({ ...headers, origin: 'http://evil.example' })).statusCode).toBe(403)
    const answer = await logout(withOrigin(headers))
    expect(answer.statusCode).toBe(204)
    expect(`${answer.headers['set-cookie']}`).toMatch(/^sc_session_\S+=; Path=\/; Max-Age=0;/)
    expect(await status(headers, app)).toBe(401)
    expect((await logout(withOrigin(headers))).statusCode).toBe(401)
    expect((await logout(app.bearer('admin'))).statusCode).toBe(404)
  })

  it('keeps the 50 of each login that were used last', async () => {
    const { sessions } = app.deps.keys
    const { headers } = await logIn(app)
    const others = (await sessions.list()).length
    const ann = { loginName: 'ann@example.com', hostname: 'desk' }
    const opened: string[] = []
    for (let time = 0; time < 53; time++)
      opened.push((await sessions.open({ agent: `browser ${time}`, isSecure: false }, ann)).pageToken)
    const left = (await sessions.list()).filter(({ loginName }) => loginName === ann.loginName)
    expect(left.map(({ agent }) => agent)).toEqual(
      opened
        .map((_, time) => `browser ${time}`)
        .slice(3)
        .reverse()
    )
    expect(await sessions.list()).toHaveLength(others + 50)
    expect(await status(headers, app)).toBe(200)
  })
})

describe('the name by which a browser comes', () => {
  it.each(['localhost', 'localhost:5080', '127.0.0.1:5080', '[::1]:5080', '192.168.1.5:5080', 'LOCALHOST.'])(
    '%s is the master’s',
    async host => {
      const { headers } = await logIn(one, host)
      expect(await status(headers)).toBe(200)
    }
  )

  it.each(['evil.example', 'evil.example:5080', '127.0.0.1.evil.example', 'localhost.evil.example'])(
    '%s is not: its page may have made that name lead here',
    async host => {
      const { headers } = await logIn(one)
      const answer = await one.app.inject({ url: '/api/jobs', headers: { ...headers, host } })
      expect([answer.statusCode, answer.json().code]).toEqual([403, 'SC_FORBIDDEN'])
      // A key is nothing that a browser sends by itself.
      expect(await status({ ...one.bearer('read'), host })).toBe(200)
    }
  )

  it('a login link that was opened by another name is not used up', async () => {
    const { pathname, search } = new URL(one.deps.keys.createLoginLink('http://localhost'))
    const open = async (host: string) => await one.app.inject({ url: `${pathname}${search}`, headers: { host } })
    const refused = await open('evil.example')
    expect([refused.statusCode, refused.headers['set-cookie']]).toEqual([403, undefined])
    expect(refused.json().detail).toContain('SC_MASTER_URL')
    expect((await open('localhost')).statusCode).toBe(303)
  })

  it('SC_MASTER_URL names another', async () => {
    const named = await startApp({ masterUrl: 'https://cluster.example:443' })
    try {
      expect(await status((await logIn(named, 'cluster.example')).headers, named)).toBe(200)
    } finally {
      await named.release()
    }
  })
})
