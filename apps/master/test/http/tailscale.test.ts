import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Presence } from '@sc/shared/presence.ts'
import { presenceKey } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RUNNING, startLocalApi } from '../../../../packages/shared/test/tailscale/local-api-server.ts'
import { PRESENCE } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

const ON_TAILNET: Presence = {
  ...PRESENCE,
  id: 'w-1',
  name: 'desk-1',
  tailscale: { ip: '100.64.0.2', hostname: 'desk' },
  address: '100.64.0.2',
  brokerRttMs: 2.5
}

let one: TestApp
let api: Awaited<ReturnType<typeof startLocalApi>>

const get = (url: string) => one.app.inject({ url, headers: one.bearer('read') })
const ping = (host: string) =>
  one.app.inject({
    method: 'POST',
    url: `/api/cluster/tailscale/ping/${encodeURIComponent(host)}`,
    headers: one.bearer('read')
  })

beforeAll(async () => {
  one = await startApp()
  api = await startLocalApi(join(one.servers.root, 'tailscaled.sock'))
})
afterAll(async () => {
  await api.stop()
  await one.release()
})

async function addWorker(presence: Presence): Promise<void> {
  const { id, name, hostname } = presence
  await one.deps.db.insertInto('workers').values({ id, name, hostname }).execute()
  await one.deps.redis.set(presenceKey(id), JSON.stringify(presence), 'PX', 600_000)
  await expect.poll(async () => (await get(`/api/workers/${id}`)).statusCode).toBe(200)
}

describe('/api/cluster/tailscale', () => {
  it('shows status and peers', async () => {
    expect((await get('/api/cluster/tailscale/status')).json()).toEqual({
      installed: true,
      running: true,
      backendState: 'Running',
      version: '1.102.3',
      tailnet: 'someone@example.com',
      selfIp: '100.64.0.1',
      selfHostname: 'home.tailnet.example',
      keyExpiry: null,
      peerCount: 3,
      onlinePeers: 2,
      warnings: []
    })
    const { items, nextCursor } = (await get('/api/cluster/tailscale/peers')).json()
    expect([items.length, nextCursor]).toEqual([3, null])
    expect((await get('/api/cluster/info')).json().tailscale).toEqual({
      enabled: true,
      installed: true,
      tailnet: 'someone@example.com',
      selfIp: '100.64.0.1',
      selfHostname: 'home.tailnet.example',
      peerCount: 3,
      onlinePeers: 2
    })
    expect((await get('/api/cluster/health')).json().checks.tailscale).toMatchObject({
      status: 'ok',
      detail: '2 of 3 other machines are online'
    })
  })

  it('pings machines of the tailnet and nobody else', async () => {
    expect((await ping('desk')).json()).toEqual({
      host: 'desk',
      hostname: 'desk.tailnet.example',
      ip: '100.64.0.2',
      ok: true,
      rttMs: 1.23,
      direct: true,
      relay: null,
      endpoint: '192.0.2.7:41641',
      error: null
    })
    expect((await ping('phone')).json()).toMatchObject({ ok: false, error: 'no reply' })
    for (const host of ['example.com', '8.8.8.8', 'home']) expect((await ping(host)).statusCode, host).toBe(404)
    for (const host of ['desk;id', '$(id)', 'desk desk', '../status', 'a'.repeat(300)])
      expect((await ping(host)).statusCode, host).toBe(400)
  })
})

describe('GET /api/cluster/topology', () => {
  it('has the master, workers, other machines, and the ways between them', async () => {
    await addWorker(ON_TAILNET)
    const address = '127.0.0.1'
    await addWorker({ ...ON_TAILNET, id: 'w-2', name: 'here', hostname: hostname(), tailscale: null, address })
    const { nodes, edges, stats } = (await get('/api/cluster/topology')).json()
    expect(nodes).toMatchObject([
      { id: 'master', type: 'master', hostname: 'home.tailnet.example', ip: '100.64.0.1', online: true },
      {
        id: 'w-1',
        type: 'worker',
        name: 'desk-1',
        hostname: 'desk.tailnet.example',
        ip: '100.64.0.2',
        queues: ['cpu']
      },
      { id: 'w-2', type: 'worker', name: 'here', ip: address, online: true },
      { id: 'n3CNTRL', type: 'peer', hostname: 'attic.tailnet.example', online: true },
      { id: 'n4CNTRL', type: 'peer', hostname: 'phone.tailnet.example', online: false, os: 'iOS' }
    ])
    expect(edges).toEqual([
      { from: 'w-1', to: 'master', type: 'tailscale', direct: true, relay: null, rttMs: 1.23 },
      { from: 'w-2', to: 'master', type: 'local', direct: true, relay: null, rttMs: 2.5 },
      { from: 'master', to: 'n3CNTRL', type: 'tailscale', direct: false, relay: 'fra', rttMs: 30.1 }
    ])
    expect(stats).toEqual({ nodes: 5, online: 4, workers: 2, peers: 2, gpus: 0, direct: 2, relayed: 1 })
  })

  it('gives workers the names they have in the tailnet', async () => {
    const { items } = (await get('/api/workers')).json()
    expect(items.map((row: Presence) => row.tailscale)).toEqual([
      { ip: '100.64.0.2', hostname: 'desk.tailnet.example' },
      null
    ])
  })
})

it('names the master as the one target for Prometheus', async () => {
  expect((await get('/api/cluster/metrics-targets')).json()).toEqual([
    { targets: ['127.0.0.1:5080'], labels: { __scheme__: 'http', __metrics_path__: '/metrics', role: 'master' } }
  ])
})

describe('GET /api/cluster/setup', () => {
  /** What it says once the last status is no longer kept. */
  const setup = async (status: object) => {
    api.status = status
    const { BackendState } = status as { BackendState: string }
    const now = async () => (await get('/api/cluster/tailscale/status')).json().backendState
    await expect.poll(now).toBe(BackendState)
    return (await get('/api/cluster/setup')).json()
  }

  it('has the next step for the state of this machine', async () => {
    expect((await get('/api/cluster/setup')).json()).toMatchObject({
      state: 'up',
      system: 'linux',
      next: { title: 'Add the next machine' },
      warnings: []
    })
    const out = await setup({ BackendState: 'NeedsLogin', Self: { KeyExpiry: '2026-01-01T00:00:00Z' } })
    expect(out).toMatchObject({ state: 'logged-out', next: { command: 'sudo tailscale up' } })
    expect(out.warnings).toEqual([expect.stringMatching(/expired on 2026-01-01/)])
    expect(Object.keys(out.steps)).toEqual(['linux', 'macos', 'windows'])
    const health = (await get('/api/cluster/health')).json().checks.tailscale
    expect(health).toMatchObject({ status: 'off', detail: expect.stringMatching(/NeedsLogin.*expired/) })
    expect(await setup(RUNNING)).toMatchObject({ state: 'up' })
  })
})
