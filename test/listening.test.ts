import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { expect, test } from 'vitest'
import { RUNNING, startLocalApi } from '../packages/shared/test/tailscale/local-api-server.ts'
import { startCluster, until } from './cluster.ts'

/** What listens in each mode, by trying to connect; another address of loopback stands for all that are not named. */

const LOOPBACK = '127.0.0.1'
const OTHER = '127.0.0.2'
const house = Object.values(networkInterfaces())
  .flatMap(addresses => addresses ?? [])
  .filter(({ family, internal }) => family === 'IPv4' && !internal)
  .map(({ address }) => address)

function answers(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: 2_000 })
  socket.once('connect', () => resolve(true))
  for (const event of ['error', 'timeout']) socket.once(event, () => resolve(false))
  return promise.finally(() => socket.destroy())
}

async function open(port: number): Promise<string[]> {
  const all = [LOOPBACK, OTHER, ...house]
  const found = await Promise.all(all.map(async host => ((await answers(host, port)) ? [host] : [])))
  return found.flat()
}

const portsOf = (folder: string) => {
  const file = readMasterFile(dataDir(join(folder, 'data')))
  return [file?.httpUrl ?? '', file?.redisUrl ?? ''].map(url => Number(new URL(url).port)) as [number, number]
}

test('mode local: HTTP and Redis on loopback alone', async () => {
  const cluster = await startCluster({ workers: 0, env: { SC_MODE: 'local' } })
  try {
    for (const port of portsOf(cluster.folder)) expect(await open(port)).toEqual([LOOPBACK])
    expect(await cluster.json('/api/cluster/info')).toMatchObject({ mode: 'local', masterUrl: cluster.url })
  } finally {
    await cluster.stop()
  }
})

test.skipIf(house.length === 0)(
  'mode lan: both on loopback and the address in the house, and a worker joins there',
  async () => {
    const cluster = await startCluster({ workers: 0, env: { SC_MODE: 'lan' } })
    try {
      const [http, redis] = portsOf(cluster.folder)
      const { masterUrl, brokerUrl, mode } = await cluster.json<Record<string, string>>('/api/cluster/info')
      const { hostname: told } = new URL(masterUrl as string)
      expect([mode, house.includes(told), brokerUrl]).toEqual(['lan', true, `redis://${told}:${redis}`])
      for (const port of [http, redis]) expect(await open(port)).toEqual([LOOPBACK, told])
      expect((await fetch(`${masterUrl}/healthz`)).status).toBe(200)
      const { command } = await cluster.json<{ command: string }>('/api/cluster/join')
      const broker = command.split(' ').at(-1) as string
      expect(new URL(broker).hostname).toBe(told)
      const code = connectRedis(broker, { name: 'test', restricted: true })
      await waitForRedis(code)
      await closeRedis(code)
      await cluster.startWorker('far', ['--broker', broker])
      await until('it is there', 10_000, async () => (await cluster.api('/readyz')).ok)
    } finally {
      await cluster.stop()
    }
  }
)

test.skipIf(house.length === 0)(
  'mode auto: both also on the address in the tailnet, once Tailscale is up',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sc-tailscaled-'))
    const socket = join(folder, 'socket')
    // An address that this machine really has stands for that in the tailnet.
    const [ip] = house as [string]
    const self = { ...RUNNING.Self, DNSName: `${ip}.`, TailscaleIPs: [ip] }
    const tailscale = await startLocalApi(socket, { ...RUNNING, BackendState: 'NeedsLogin', Self: self })
    const cluster = await startCluster({ workers: 0, env: { SC_MODE: 'auto', TS_SOCKET: socket } })
    const redis = connectRedis(readMasterFile(dataDir(join(cluster.folder, 'data')))?.redisUrl ?? '', { name: 'test' })
    try {
      const [httpPort, redisPort] = portsOf(cluster.folder)
      const info = async () => await cluster.json<Record<string, string>>('/api/cluster/info')
      expect(await info()).toMatchObject({ mode: 'local', masterUrl: cluster.url })
      for (const port of [httpPort, redisPort]) expect(await open(port)).toEqual([LOOPBACK])
      tailscale.status = { ...RUNNING, Self: self }
      await until('the master goes over', 30_000, async () => (await info()).mode === 'tailscale')
      for (const port of [httpPort, redisPort]) expect(await open(port)).toEqual([LOOPBACK, ip])
      const masterUrl = `http://${ip}:${httpPort}`
      expect(await info()).toMatchObject({ masterUrl, brokerUrl: `redis://${ip}:${redisPort}` })
      await until('it is published', 10_000, async () => (await redis.hget('sc:master', 'httpUrl')) === masterUrl)
      const { command } = await cluster.json<{ command: string }>('/api/cluster/join')
      expect(command).toContain(`@${ip}:${redisPort}`)
    } finally {
      await closeRedis(redis)
      await cluster.stop()
      await tailscale.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
)

test('an address that was asked for wins for HTTP', async () => {
  const cluster = await startCluster({ workers: 0, env: { SC_MODE: 'local', SC_HOST: OTHER } })
  try {
    const [http, redis] = portsOf(cluster.folder)
    expect([await open(http), await open(redis)]).toEqual([[OTHER], [LOOPBACK]])
  } finally {
    await cluster.stop()
  }
})
