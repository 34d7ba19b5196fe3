import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { createReleasers, type Releasers } from '@sc/shared/releasers.ts'
import fastify from 'fastify'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RUNNING, startLocalApi } from '../../../../packages/shared/test/tailscale/local-api-server.ts'
import { openReach, type ReachNow } from '../../src/cluster/reach.ts'
import { openTailnet } from '../../src/cluster/tailnet.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../src/embedded/redis.ts'
import type { App } from '../../src/http/app-deps.ts'
import { listen } from '../../src/http/listen.ts'

/** A real Redis and a real HTTP server follow a tailnet; its addresses are other ones of loopback, which Linux has all. */
const testOnLinux = test.runIf(process.platform === 'linux')

const [LOOPBACK, FIRST, SECOND] = ['127.0.0.1', '127.77.0.1', '127.77.0.2'] as const
const STOPPED = { ...RUNNING, BackendState: 'Stopped' }
const at = (ip: string) => ({ ...RUNNING, Self: { ...RUNNING.Self, TailscaleIPs: [ip] } })

let folder: string
let releasers: Releasers
const said: Array<{ level: number; msg: string }> = []
const log = pino({ level: 'info' }, { write: line => void said.push(JSON.parse(line)) })
const warnings = () => said.filter(({ level }) => level === 40).map(({ msg }) => msg)

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sc-reach-'))
  releasers = createReleasers(() => {})
  said.length = 0
})
afterEach(async () => {
  await releasers.release()
  rmSync(folder, { recursive: true, force: true })
})

function answers(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port })
  socket.once('connect', () => resolve(true))
  socket.once('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}

async function open(port: number): Promise<string[]> {
  const found = await Promise.all(
    [LOOPBACK, FIRST, SECOND, '127.77.0.3'].map(async host => ((await answers(host, port)) ? [host] : []))
  )
  return found.flat()
}

async function start() {
  const api = await startLocalApi(join(folder, 'tailscaled.sock'), STOPPED)
  releasers.add('api', api.stop)
  const [lo] = networkInterfaces().lo ?? Object.values(networkInterfaces()).flat()
  if (!lo) throw new Error('this machine has no loopback interface')
  const tailnet = openTailnet({ socket: join(folder, 'tailscaled.sock'), log })
  const interfaces = () => ({
    ...networkInterfaces(),
    tailscale0: [FIRST, SECOND].map(address => ({ ...lo, address, internal: false }))
  })
  const config = { mode: 'auto' as const, host: undefined }
  const reach = await openReach({ config, tailnet, interfaces, lookEveryMs: 20, log })
  const redis = await startEmbeddedRedis({ dataDir: folder, log, bind: reach.now().bind })
  releasers.add('redis', redis.stop)
  const app = fastify() as unknown as App
  const http = await listen(app, reach.now().httpBind, 0, releasers)
  return { api, reach, redis, http, redisPort: Number(new URL(redis.url).port) }
}

function follow(reach: ReachNow, redis: EmbeddedRedis, http: Awaited<ReturnType<typeof listen>>) {
  const moves: string[] = []
  const following = reach.follow({
    move: async ({ bind, httpBind }) => {
      await redis.moveTo(bind)
      await http.moveTo(httpBind)
    },
    moved: async () => void moves.push(reach.now().told)
  })
  releasers.add('following', following.stop)
  return moves
}

testOnLinux(
  'mode auto goes over to the tailnet when it comes up, stays while it is down, and follows it to another address',
  async () => {
    const { api, reach, redis, http, redisPort } = await start()
    expect(reach.now().mode).toBe('local')
    const moves = follow(reach, redis, http)
    const master = connectRedis(redis.url, { name: 'test' })
    releasers.add('login', () => closeRedis(master))
    await waitForRedis(master)
    const ports = [http.port, redisPort]
    for (const port of ports) expect(await open(port)).toEqual([LOOPBACK])

    api.status = at(FIRST)
    await expect.poll(() => moves, { timeout: 10_000 }).toEqual(['home.tailnet.example'])
    expect(reach.now()).toMatchObject({ mode: 'tailscale', bind: [LOOPBACK, FIRST] })
    for (const port of ports) expect(await open(port)).toEqual([LOOPBACK, FIRST])

    api.status = STOPPED
    await expect.poll(warnings, { timeout: 10_000 }).toEqual([expect.stringMatching(/cannot reach this master: .* up/)])
    expect(reach.now().mode).toBe('tailscale')
    for (const port of ports) expect(await open(port)).toEqual([LOOPBACK, FIRST])
    api.status = at(FIRST)
    await expect.poll(() => moves.length, { timeout: 10_000 }).toBe(2)

    api.status = at(SECOND)
    await expect.poll(() => reach.now().bind, { timeout: 10_000 }).toEqual([LOOPBACK, SECOND])
    for (const port of ports) expect(await open(port)).toEqual([LOOPBACK, SECOND])
    expect(warnings()).toHaveLength(1)

    // A Redis that starts again listens where the first one was moved to.
    const pid = async () => Number(/process_id:(\d+)/.exec(await master.info('server'))?.[1])
    const killed = await pid()
    process.kill(killed, 'SIGKILL')
    await expect.poll(pid, { timeout: 30_000 }).not.toBe(killed)
    expect(await open(redisPort)).toEqual([LOOPBACK, SECOND])
  },
  60_000
)

testOnLinux(
  'an address that cannot be had is said once and tried again, and others are told nothing new',
  async () => {
    const { api, reach, http } = await start()
    let isTaken = true
    const following = reach.follow({
      move: async ({ httpBind }) => {
        if (isTaken) throw new Error('address already in use')
        await http.moveTo(httpBind)
      },
      moved: async () => {}
    })
    releasers.add('following', following.stop)
    api.status = at(FIRST)
    const asked = api.asked.length
    await expect.poll(() => api.asked.length, { timeout: 20_000 }).toBeGreaterThan(asked + 2)
    expect(warnings()).toEqual([expect.stringMatching(/Cannot listen on 127.0.0.1 and 127.77.0.1 .*already in use/)])
    expect([reach.now().told, await open(http.port)]).toEqual([LOOPBACK, [LOOPBACK]])
    isTaken = false
    await expect.poll(() => reach.now().told, { timeout: 10_000 }).toBe('home.tailnet.example')
    expect(await open(http.port)).toEqual([LOOPBACK, FIRST])
  },
  60_000
)

testOnLinux(
  'a master that cannot look at its networks says so once and looks again',
  async () => {
    const api = await startLocalApi(join(folder, 'tailscaled.sock'), at(FIRST))
    releasers.add('api', api.stop)
    const tailnet = openTailnet({ socket: join(folder, 'tailscaled.sock'), log })
    const lo = { ...(networkInterfaces().lo?.[0] as NetworkInterfaceInfo), address: FIRST }
    let looks = 0
    // As when a process has all the files open that it may.
    const interfaces = () => {
      looks++
      if (looks > 1 && looks < 4) throw new Error('uv_interface_addresses returned Unknown system error 24')
      return looks === 1 ? {} : { tailscale0: [lo] }
    }
    const config = { mode: 'auto' as const, host: undefined }
    const reach = await openReach({ config, tailnet, interfaces, lookEveryMs: 20, log })
    const following = reach.follow({ move: async () => {}, moved: async () => {} })
    releasers.add('following', following.stop)
    await expect.poll(() => reach.now().mode, { timeout: 20_000 }).toBe('tailscale')
    expect(warnings()).toEqual([expect.stringMatching(/Cannot look at the networks .*trying again.*error 24/)])
  },
  60_000
)

test('Redis starts without an address that this machine lacks just now', async () => {
  const redis = await startEmbeddedRedis({ dataDir: folder, log, bind: [LOOPBACK, '203.0.113.7'] })
  releasers.add('redis', redis.stop)
  expect(await answers(LOOPBACK, Number(new URL(redis.url).port))).toBe(true)
}, 60_000)
