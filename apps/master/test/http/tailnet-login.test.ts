import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startLocalApi } from '../../../../packages/shared/test/tailscale/local-api-server.ts'
import { createTailnetLogin } from '../../src/cluster/tailnet-login.ts'
import { cookieOf } from './browser.ts'
import { startApp, type TestApp } from './start-app.ts'

/** `desk` is someone's, as is the master's own machine `home`; `attic` is tagged; `phone` is another user's. */
const [HOME, DESK, ATTIC, PHONE] = ['100.64.0.1', '100.64.0.2', '100.64.0.3', '100.64.0.4'] as const
const NAME = 'home.tailnet.example'

let one: TestApp
let off: TestApp
let api: Awaited<ReturnType<typeof startLocalApi>>

beforeAll(async () => {
  one = await startApp({ tailnetLogin: ['owner', 'third@example.com'] })
  off = await startApp()
  api = await startLocalApi(join(one.servers.root, 'tailscaled.sock'))
})
afterAll(async () => {
  await api.stop()
  await Promise.all([one.release(), off.release()])
})

const login = (remoteAddress: string, headers: Record<string, string> = {}, app = one.app) =>
  app.inject({ url: '/login', remoteAddress, headers: { host: `${NAME}:5080`, ...headers } })
const asked = () => api.asked.filter(line => line.includes('whois'))

test('a user who is named gets a session by the address of a machine of theirs', async () => {
  for (const address of [DESK, `::ffff:${DESK}`, 'fd7a:115c:a1e0::2']) {
    const answer = await login(address)
    const [, pageToken = ''] = /^\/cluster#page=([\w-]+)$/.exec(`${answer.headers.location}`) ?? []
    expect([answer.statusCode, pageToken.length], answer.body).toEqual([303, 43])
    expect(`${answer.headers['set-cookie']}`).toMatch(/Max-Age=86400; HttpOnly; SameSite=Strict$/)
    const headers = { cookie: cookieOf(answer), 'x-sc-page': pageToken, host: `${NAME}:5080` }
    expect((await one.app.inject({ url: '/api/cluster/info', headers })).statusCode).toBe(200)
  }
  expect((await login(DESK, { host: HOME })).statusCode).toBe(303)
  expect((await login(DESK, { host: '[fd7a:115c:a1e0::1]:5080' })).statusCode).toBe(303)
  expect(one.lines.join('')).toContain('"loginName":"someone@example.com","machine":"desk.tailnet.example"')
})

test.each([
  ['another user', PHONE, {}, /You are other@example.com on phone.tailnet.example, and SC_TAILNET_LOGIN does not/],
  ['a tagged machine', ATTIC, {}, /attic.tailnet.example is tagged \(tag:server\)/],
  ['an address that nobody has', '100.64.0.99', {}, /Tailscale does not say who 100.64.0.99 is/]
])('%s is told who they are, and gets none', async (_who, address, headers, why) => {
  const answer = await login(address, headers)
  expect([answer.statusCode, answer.headers['set-cookie']]).toEqual([401, undefined])
  expect(answer.json().detail).toMatch(why)
})

test.each([
  ['loopback', '127.0.0.1', {}, /127.0.0.1 is not the address of another machine of this tailnet: open http:\/\/home/],
  ['loopback, by a proxy that says who asks', '127.0.0.1', { 'x-forwarded-for': DESK }, /127.0.0.1 is not/],
  ['loopback of IPv6', '::1', {}, /::1 is not/],
  ['the own address in the tailnet', HOME, {}, /100.64.0.1 is not/],
  ['the same, mapped', `::ffff:${HOME}`, {}, /100.64.0.1 is not/],
  ['the house', '192.168.1.7', {}, /192.168.1.7 is not/],
  ['just outside of the range', '100.128.0.2', {}, /100.128.0.2 is not/],
  ['a proxy of the user', DESK, { 'x-forwarded-for': '203.0.113.9' }, /was passed on by 100.64.0.2/],
  ['a name of another site that leads here', DESK, { host: 'evil.example:5080' }, /by the name evil.example/],
  ['a name that ends in ours', DESK, { host: `x.${NAME}` }, /by the name x.home/]
])('who comes from %s is not even looked up', async (_from, address, headers, why) => {
  const before = asked().length
  const answer = await login(address, headers)
  expect([answer.statusCode, answer.headers['set-cookie'], asked().length]).toEqual([401, undefined, before])
  expect(answer.json().detail).toMatch(why)
})

test('a page of another site cannot have its visitor logged in', async () => {
  for (const [name, value] of [
    ['origin', 'http://evil.example'],
    ['sec-fetch-site', 'cross-site']
  ] as const)
    expect((await login(DESK, { [name]: value })).statusCode, name).toBe(403)
})

test('a script of the page logs in by a POST, and one of another page does not', async () => {
  const post = (headers: Record<string, string>) =>
    one.app.inject({
      method: 'POST',
      url: '/login',
      remoteAddress: DESK,
      headers: { host: `${NAME}:5080`, ...headers }
    })
  const origin = `http://${NAME}:5080`
  const answer = await post({ origin })
  const headers = { cookie: cookieOf(answer), 'x-sc-page': answer.json().pageToken, host: `${NAME}:5080` }
  const { items } = (await one.app.inject({ url: '/api/sessions', headers })).json()
  expect(items.find(({ isCurrent }: { isCurrent: boolean }) => isCurrent)).toMatchObject({
    loginName: 'someone@example.com',
    machine: 'desk.tailnet.example'
  })
  for (const other of [{}, { origin: `http://${NAME}:8080` }, { origin, 'sec-fetch-site': 'same-site' }])
    expect((await post(other as Record<string, string>)).statusCode, JSON.stringify(other)).toBe(403)
})

test('it is off unless it is set, and says how to have it', async () => {
  const answer = await login(DESK, {}, off.app)
  expect([answer.statusCode, answer.headers['set-cookie']]).toEqual([401, undefined])
  expect(answer.json().detail).toMatch(/login link that the master printed .*SC_TAILNET_LOGIN=owner/)
})

test('a machine of nobody has no owner, and Tailscale must be up', async () => {
  const allowed = ['owner']
  const caller = { address: DESK, port: 5080, hostname: NAME, isForwarded: false }
  const whois = async () => ({ hostname: 'desk', loginName: 'tagged-devices', displayName: '', tags: [] })
  const status = await one.deps.tailnet.status()
  const none = createTailnetLogin({ allowed, tailnet: { whois, status: async () => ({ ...status, owner: null }) } })
  await expect(none(caller)).rejects.toThrow(/does not name you/)
  const down = createTailnetLogin({ allowed, tailnet: { whois, status: async () => ({ ...status, running: false }) } })
  await expect(down(caller)).rejects.toThrow(/Tailscale is not up on the machine of the master/)
})
