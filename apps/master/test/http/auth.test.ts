import { stat } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import type { Scope } from '../../src/database/schema.ts'
import { addAuth } from '../../src/http/auth.ts'
import { createServer } from '../../src/http/create-server.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { logIn } from './browser.ts'
import { startApp, type TestApp } from './start-app.ts'

interface Route {
  method: 'GET'
  url: string
  scope: Scope | null
  own: boolean
}

/** `join` is what a join code may do: no key has it. */
const SCOPES: Array<Exclude<Scope, 'join'>> = ['admin', 'submit', 'read', 'metrics', 'worker']
const MAY: Record<Scope, Scope[]> = {
  admin: ['admin'],
  submit: ['admin', 'submit'],
  read: ['admin', 'read'],
  metrics: ['admin', 'read', 'metrics'],
  worker: ['worker'],
  join: []
}
const PUBLIC = ['/healthz', '/readyz', '/login']
/** Files that are the same for everybody. */
const PAGES = [
  ...['/', '/cluster', '/cluster/icon.svg'],
  ...['machines', 'page', 'parts', 'picture'].map(name => `/cluster/${name}.css`),
  ...['add-machine', 'cluster', 'doctor', 'dom', 'figures', 'live', 'machines', 'picture', 'remove-machine'].map(
    name => `/cluster/${name}.js`
  ),
  ...['session', 'sessions'].map(name => `/cluster/${name}.js`)
]

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

/** Every route, with something in the place of its parameters. */
function routes(): Route[] {
  return one.app.routeTable.map(({ method, url, scope, own }) => ({
    // `inject` knows no other type for a method than a union.
    method: method as 'GET',
    url: url.replace(/:\w+/g, 'some-id').replace('*', 'units/some-key'),
    scope,
    own
  }))
}

const ask = (route: Route, headers: Record<string, string> = {}) =>
  one.app.inject({ method: route.method, url: route.url, headers })

describe('who may call what', () => {
  it('knows every route of the server', () => {
    const printed = one.app.printRoutes({ commonPrefix: false })
    const methods = [...printed.matchAll(/\(([A-Z, ]+)\)/g)].flatMap(([, names = '']) => names.split(', '))
    expect(routes()).toHaveLength(methods.length)
    expect(methods.length).toBeGreaterThan(30)
  })

  it('has the public routes of the list and no other', () => {
    const open = routes().filter(({ scope }) => scope === null)
    expect([...new Set(open.map(({ url }) => url))].sort()).toEqual([...PUBLIC, ...PAGES].sort())
  })

  it('answers no other route without a key, with a wrong key, or with a key of too small a scope', async () => {
    for (const route of routes().filter(({ scope }) => scope !== null)) {
      const what = `${route.method} ${route.url}`
      const without = await ask(route)
      expect(without.statusCode, what).toBe(401)
      expect(without.headers['www-authenticate'], what).toMatch(/^Bearer/)
      expect((await ask(route, { authorization: 'Bearer sc_wrong' })).statusCode, what).toBe(401)
      expect((await ask(route, { authorization: `Basic ${one.keys.admin}` })).statusCode, what).toBe(401)
      for (const scope of SCOPES.filter(
        scope => !MAY[route.scope ?? 'admin'].includes(scope) && !(route.own && scope === 'submit')
      )) {
        const refused = await ask(route, one.bearer(scope))
        expect(refused.statusCode, `${what} with ${scope}`).toBe(403)
      }
    }
  })

  it('lets a large enough scope through', async () => {
    const get = (url: string, scope: Scope) => one.app.inject({ url, headers: one.bearer(scope) })
    expect((await get('/api/jobs', 'read')).statusCode).toBe(200)
    expect((await get('/api/jobs', 'submit')).statusCode).toBe(200)
    expect((await get('/api/jobs', 'admin')).statusCode).toBe(200)
    expect((await get('/metrics', 'metrics')).statusCode).toBe(200)
    expect((await get('/metrics', 'read')).statusCode).toBe(200)
    expect((await get('/blobs/units/x/y.wav', 'worker')).statusCode).toBe(404)
  })

  it('refuses a route that does not say who may call it', async () => {
    const app = createServer(one.deps)
    await addAuth(app, one.deps)
    expect(() => app.get('/forgotten', { schema: { response: { 200: z.string() } } }, async () => 'open')).toThrow(
      /must say/
    )
  })

  it('does not answer a revoked key', async () => {
    const { key, keyId } = await createKey(one.deps.db, { name: 'short', scopes: ['read'] })
    const ask = () => one.app.inject({ url: '/api/workers', headers: { authorization: `Bearer ${key}` } })
    expect((await ask()).statusCode).toBe(200)
    await one.deps.db.updateTable('api_keys').set({ revoked_at: new Date() }).where('id', '=', keyId).execute()
    // As if another master had done it: this one looks again after a second.
    await vi.waitFor(async () => expect((await ask()).statusCode).toBe(401), { timeout: 5_000, interval: 100 })
  })

  it('keeps the admin key for its owner only, and only its hash in the database', async () => {
    expect((await stat(one.dir.adminKey)).mode & 0o777).toBe(0o600)
    const rows = await one.deps.db.selectFrom('api_keys').selectAll().execute()
    for (const key of Object.values(one.keys)) expect(JSON.stringify(rows)).not.toContain(key)
  })
})

describe('a browser', () => {
  it('gets a session by the login link, once', async () => {
    const link = new URL(one.deps.keys.createLoginLink('http://localhost'))
    const first = await one.app.inject({ url: `${link.pathname}${link.search}` })
    expect(first.statusCode).toBe(303)
    expect(first.headers.location).toMatch(/^\/cluster#page=[\w-]{43}$/)
    expect(first.headers['set-cookie']).toMatch(/Max-Age=86400; HttpOnly; SameSite=Strict$/)
    expect((await one.app.inject({ url: `${link.pathname}${link.search}` })).statusCode).toBe(401)
    expect((await one.app.inject({ url: '/login?code=guess' })).statusCode).toBe(401)
  })

  it('reads and writes from its own pages, and not from those of another site', async () => {
    const session = await logIn(one, 'localhost:5080')
    const ask = (method: 'GET' | 'DELETE', headers: Record<string, string>) =>
      one.app.inject({ method, url: '/api/jobs/none', headers: { ...session.headers, ...headers } })
    expect((await ask('GET', {})).statusCode).toBe(404)
    expect((await ask('DELETE', { origin: 'http://localhost:5080' })).statusCode).toBe(404)
    expect((await ask('DELETE', {})).statusCode).toBe(403)
    expect((await ask('DELETE', { origin: 'http://there' })).statusCode).toBe(403)
    const sameSite = { origin: 'http://localhost:5080', 'sec-fetch-site': 'same-site' }
    expect((await ask('DELETE', sameSite)).statusCode).toBe(403)
    expect((await ask('GET', { origin: 'http://localhost:8080' })).statusCode).toBe(403)
    expect((await ask('GET', { 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403)
  })

  it('gets the cluster page without a login, and a policy by which only files of the master run in it', async () => {
    const root = await one.app.inject({ url: '/' })
    expect([root.statusCode, root.headers.location]).toEqual([302, '/cluster'])
    for (const url of PAGES.slice(1)) {
      const { statusCode, headers, body } = await one.app.inject({ url })
      expect([statusCode, headers['cache-control']], url).toEqual([200, 'no-cache'])
      expect(headers['content-security-policy'], url).toContain("script-src 'self'; style-src 'self';")
      expect(headers['content-security-policy'], url).not.toContain('unsafe')
      expect(body, url).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|<style|\s(style|on\w+)="/)
    }
    const { body } = await one.app.inject({ url: '/cluster' })
    for (const [, address] of body.matchAll(/\s(?:src|href)="([^"#]+)"/g))
      expect([...PAGES, '/docs/'], address).toContain(address)
  })

  it('opens /docs, whose script comes from here', async () => {
    // By its address, without a script that would send more.
    const { cookie } = await logIn(one)
    const headers = { cookie }
    const page = await one.app.inject({ url: '/docs/', headers })
    expect(page.statusCode).toBe(200)
    expect(page.body).not.toMatch(/(src|href)="https?:/)
    expect((await one.app.inject({ url: '/docs/js/scalar.js', headers })).statusCode).toBe(200)
    const swagger = await one.app.inject({ url: '/swagger', headers })
    expect([swagger.statusCode, swagger.headers.location]).toEqual([302, '/docs/'])
  })
})
