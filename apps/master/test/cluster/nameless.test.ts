import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { afterEach, expect, test } from 'vitest'
import { watchConnections } from '../../src/cluster/connections.ts'
import { startEmbeddedRedis } from '../../src/embedded/redis.ts'

/** Connections to Redis of whoever does not log in. */

const log = createLog('test', 'silent')
const WAIT = { timeout: 20_000, interval: 50 }
let releasers = createReleasers()
afterEach(async () => {
  await releasers.release()
  releasers = createReleasers()
})

function watch(redis: Redis, isOurs = true): void {
  const watching = watchConnections({ redis, log, isOurs, onFlood: () => {}, onCodeFlood: async () => {} })
  releasers.add('watch', () => watching.stop())
}

interface Line {
  id: number
  user: string
  address: string
  age: number
}

/** A Redis that answers each look with the next list, then with the last again. */
function listing(lists: Line[][], isOurs?: boolean) {
  let looks = 0
  const ended: number[] = []
  const client = async () =>
    (lists[looks++] ?? lists.at(-1) ?? [])
      .map(({ id, user, address, age }) => `id=${id} addr=${address}:5000 age=${age} user=${user}\n`)
      .join('')
  const pipeline = () => ({
    client: (_kill: string, _by: string, id: string) => ended.push(Number(id)),
    exec: async () => []
  })
  watch({ status: 'ready', client, pipeline } as unknown as Redis, isOurs)
  return { looks: () => looks, ended }
}

const many = (count: number, age: number, { user = 'default', addresses = count } = {}): Line[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    user,
    address: `10.0.${(id % addresses) >> 8}.${(id % addresses) & 255}`,
    age
  }))

test('that are more than 1,000, from anywhere, are ended when they are older than a second', async () => {
  const { ended } = listing([many(1_001, 2)])
  await expect.poll(() => ended.length, WAIT).toBe(1_001)
})

test('of a login that is named default, in a Redis of yours, are left alone', async () => {
  const { looks, ended } = listing([many(400, 100, { addresses: 1 })], false)
  await expect.poll(looks, WAIT).toBeGreaterThan(2)
  expect(ended).toEqual([])
})

test.each([
  ['are 1,000, from anywhere', [many(1_000, 2)]],
  ['are 64 of one address', [many(64, 3, { addresses: 1 })]],
  // Redis says 1 also where the clock has just turned.
  ['are workers that all come back at once', [many(3_000, 1, { addresses: 3 }), many(3_000, 1, { user: 'master' })]]
])('that %s are left alone', async (_what, lists) => {
  const { looks, ended } = listing(lists)
  await expect.poll(looks, WAIT).toBeGreaterThan(2)
  expect(ended).toEqual([])
})

test('that are more than 64 of one address lose the oldest', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sc-nameless-'))
  releasers.add('folder', () => rmSync(folder, { recursive: true, force: true }))
  const server = await startEmbeddedRedis({ dataDir: folder, log })
  releasers.add('server', () => server.stop())
  const master = connectRedis(server.url, { name: 'test' })
  releasers.add('connection', () => closeRedis(master))
  await waitForRedis(master)
  watch(master)
  const sockets: Socket[] = []
  releasers.add('sockets', () => {
    for (const socket of sockets) socket.destroy()
  })
  for (let count = 0; count < 100; count++) {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    sockets.push(socket)
    await new Promise(resolve => socket.once('connect', resolve))
    socket.on('error', () => {}).resume()
  }
  await expect.poll(() => sockets.findIndex(({ destroyed }) => !destroyed), WAIT).toBe(36)
  expect(sockets.slice(36).some(({ destroyed }) => destroyed)).toBe(false)
}, 60_000)
