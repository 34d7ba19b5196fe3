import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { readPong } from '@sc/shared/tailscale/ping.ts'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RUNNING, startLocalApi } from '../../../../packages/shared/test/tailscale/local-api-server.ts'
import { openTailnet } from '../../src/cluster/tailnet.ts'
import { keyWarning, watchKeyExpiry } from '../../src/cluster/tailscale/key-expiry.ts'
import { setupState, stepsLeft } from '../../src/cluster/tailscale/next-step.ts'
import { NO_TAILNET } from '../../src/cluster/tailscale/status.ts'

let folder: string
let socket: string
const lines: string[] = []
const log = createLog('test', 'debug', { write: line => void lines.push(line) })
const ends: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sc-tailnet-'))
  socket = join(folder, 'tailscaled.sock')
})
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  await rm(folder, { recursive: true, force: true })
})

async function open(status?: object) {
  const api = await startLocalApi(socket, status)
  ends.push(api.stop)
  return { api, tailnet: openTailnet({ socket, log }) }
}

describe('a tailnet asked by its socket', () => {
  it('is described in our words', async () => {
    const { tailnet } = await open()
    expect(await tailnet.status()).toEqual({
      installed: true,
      running: true,
      backendState: 'Running',
      version: '1.102.3',
      tailnet: 'someone@example.com',
      selfIp: '100.64.0.1',
      selfIps: ['100.64.0.1', 'fd7a:115c:a1e0::1'],
      owner: 'someone@example.com',
      selfHostname: 'home.tailnet.example',
      keyExpiry: null,
      problems: [],
      peers: [
        expect.objectContaining({ hostname: 'desk', direct: true, curAddr: '192.0.2.7:41641', lastSeen: null }),
        expect.objectContaining({ dnsName: 'attic.tailnet.example', direct: false, relay: 'fra', curAddr: null }),
        expect.objectContaining({ ip: '100.64.0.4', online: false, direct: null, lastSeen: '2026-01-02T03:04:05Z' })
      ]
    })
  })

  it('is asked once for many looks', async () => {
    const { api, tailnet } = await open()
    await Promise.all([tailnet.status(), tailnet.peers(), tailnet.status()])
    expect(api.asked).toEqual(['GET /localapi/v0/status'])
  })

  it('pings a machine by any of its names, and says by which way', async () => {
    const { tailnet } = await open()
    for (const host of ['desk', 'DESK.tailnet.example.', '100.64.0.2', 'n2CNTRL'])
      expect(await tailnet.ping(host), host).toMatchObject({ ok: true, rttMs: 1.23, direct: true, relay: null })
    expect(await tailnet.ping('attic')).toMatchObject({ ok: true, rttMs: 30.1, direct: false, relay: 'fra' })
    expect(await tailnet.ping('phone')).toMatchObject({ ok: false, rttMs: null, error: 'no reply' })
  })

  it('pings nobody else, and asks the daemon nothing then', async () => {
    const { api, tailnet } = await open()
    for (const host of ['example.com', '8.8.8.8', '127.0.0.1', '100.64.0.99', '', '--help', 'desk;id', 'home'])
      await expect(tailnet.ping(host), host).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
    expect(api.asked.filter(line => line.includes('ping'))).toEqual([])
  })

  it('knows whose an address is', async () => {
    const { tailnet } = await open()
    const identity = { hostname: 'desk.tailnet.example', loginName: 'someone@example.com', displayName: 'Someone' }
    expect(await tailnet.whois('100.64.0.2:5000')).toEqual({ ...identity, tags: [] })
    expect(await tailnet.whois('192.0.2.1:5000')).toBeNull()
    expect(await tailnet.whois('not an address')).toBeNull()
  })
})

describe('without a tailnet', () => {
  it('says so: nothing there, nobody listens, logged out, garbage', async () => {
    const missing = openTailnet({ socket, log })
    expect(await missing.status()).toEqual(NO_TAILNET)
    await expect(missing.ping('desk')).rejects.toMatchObject({ code: 'SC_UNAVAILABLE' })
    expect(await missing.whois('100.64.0.2:5000')).toBeNull()

    const { api, tailnet } = await open({ BackendState: 'NeedsLogin', Self: null, CurrentTailnet: null })
    expect(await tailnet.status()).toMatchObject({ installed: true, running: false, backendState: 'NeedsLogin' })
    api.status = { nothing: 'like it' }
    expect(await openTailnet({ socket, log }).status()).toMatchObject({ installed: true, backendState: null })
  })

  it('waits for no daemon that is silent', async () => {
    const silent = createServer(() => {}).listen(socket)
    ends.push(async () => silent.close())
    expect(await openTailnet({ socket, log }).status()).toMatchObject({ installed: true, running: false })
  })
})

it('is asked by the tailscale command where there is no socket', async () => {
  const script = `#!/bin/sh
case "$1" in
  status) cat "${folder}/status.json" ;;
  ping) [ "$4" = 100.64.0.3 ] && echo 'pong from attic (100.64.0.3) via DERP(fra) in 31ms' ;;
  whois) echo "whois: no match for IP:port" >&2; exit 1 ;;
esac
`
  await writeFile(join(folder, 'tailscale'), script, { mode: 0o755 })
  await writeFile(join(folder, 'status.json'), JSON.stringify(RUNNING))
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
  ends.push(async () => vi.unstubAllEnvs())
  const tailnet = openTailnet({ log, sockets: [socket] })
  expect(await tailnet.status()).toMatchObject({ running: true, selfIp: '100.64.0.1' })
  expect(await tailnet.ping('attic')).toMatchObject({ ok: true, rttMs: 31, direct: false, relay: 'fra' })
  expect(await tailnet.ping('desk')).toMatchObject({ ok: false })
  expect(await tailnet.whois('192.0.2.1')).toBeNull()
  // Installed, and its daemon does not run.
  await writeFile(join(folder, 'status.json'), 'failed to connect to local tailscaled\n')
  expect(await openTailnet({ log, sockets: [] }).status()).toMatchObject({ installed: true, running: false })
})

it('reads what the tailscale command prints of a ping', () => {
  expect(readPong('pong from desk (100.64.0.2) via DERP(fra) in 23ms\n')).toMatchObject({
    ok: true,
    rttMs: 23,
    direct: false,
    relay: 'fra'
  })
  expect(readPong('pong from desk (100.64.0.2) via [2001:db8::1]:41641 in 1.2s')).toMatchObject({
    rttMs: 1200,
    direct: true,
    endpoint: '[2001:db8::1]:41641'
  })
  expect(readPong('ping "100.64.0.2" timed out\n')).toMatchObject({ ok: false, error: 'ping "100.64.0.2" timed out' })
})

describe('the key of this machine', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  const expiring = (keyExpiry: string | null) => keyWarning({ ...NO_TAILNET, keyExpiry }, now)

  it('is warned about before it ends', () => {
    expect(expiring(null)).toBeNull()
    expect(expiring('2026-06-01T00:00:00Z')).toBeNull()
    expect(expiring('2026-03-05T13:00:00Z')).toMatch(/expires in 4 days, on 2026-03-05: log in again/)
    expect(expiring('2026-03-02T13:00:00Z')).toMatch(/expires in 1 day, on/)
    expect(expiring('2026-03-01T13:00:00Z')).toMatch(/expires in less than a day/)
    expect(expiring('2026-02-01T00:00:00Z')).toMatch(/expired on 2026-02-01/)
  })

  it('is warned about in the log', async () => {
    const KeyExpiry = new Date(Date.now() + 3.5 * 86_400_000).toISOString()
    const { tailnet } = await open({ ...RUNNING, Self: { ...RUNNING.Self, KeyExpiry } })
    lines.length = 0
    const watch = watchKeyExpiry({ tailnet, log })
    await expect.poll(() => lines.join('')).toMatch(/Tailscale key of this machine expires in 3 days/)
    await watch.stop()
  })
})

it('has a next step for each state on each system', () => {
  const state = (backendState: string | null, installed = true) =>
    setupState({ ...NO_TAILNET, installed, backendState })
  expect(state(null, false)).toBe('missing')
  expect(['NeedsLogin', 'Stopped', 'NeedsMachineAuth', 'Starting', 'Running'].map(name => state(name))).toEqual([
    'logged-out',
    'logged-out',
    'unapproved',
    'starting',
    'up'
  ])
  expect(state(null)).toBe('stopped')
  expect(stepsLeft('missing', 'linux').map(({ command }) => command)).toEqual([
    'curl -fsSL https://tailscale.com/install.sh | sh',
    'sudo tailscale up'
  ])
  expect(stepsLeft('missing', 'windows')[0]?.command).toMatch(/^winget install/)
  expect(stepsLeft('missing', 'macos')[0]?.command).toMatch(/^brew install/)
  expect(stepsLeft('up', 'linux')[0]?.title).toBe('Add the next machine')
})
