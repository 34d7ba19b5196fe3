import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LARGEST_ENROL_REQUEST, secretHash } from '@sc/shared/enrol-request.ts'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { enrolAnswerKey, enrolAskKey, inboxKey, presenceKey } from '@sc/shared/redis-keys.ts'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { watchConnections } from '../../src/cluster/connections.ts'
import { joinRights, workerRights } from '../../src/cluster/rights.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../src/embedded/redis.ts'

/** What a worker's login and a join code's can make a master's own Redis hold or do, past what they may write. */

const folder = mkdtempSync(join(tmpdir(), 'sc-connections-'))
const log = createLog('test', 'silent')
const [WORKER, CODE] = ['w-1', 'join-1']
const WAIT = { timeout: 40_000, interval: 200 }
const MEGABYTE = 1024 ** 2

let server: EmbeddedRedis
let master: Redis
let watch: { stop(): Promise<void> }
const floods: string[] = []
const sockets: Socket[] = []

beforeAll(async () => {
  server = await startEmbeddedRedis({ dataDir: folder, log })
  master = connectRedis(server.url, { name: 'test' })
  await waitForRedis(master)
  startWatch()
  const hash = secretHash('secret')
  await master.call('ACL', 'SETUSER', WORKER, ...workerRights({ id: WORKER, hash, isOld: false }))
  await master.call('ACL', 'SETUSER', CODE, ...joinRights(CODE, hash))
}, 60_000)
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  floods.splice(0)
})
afterAll(async () => {
  await watch.stop()
  await closeRedis(master)
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

function startWatch(): void {
  watch = watchConnections({
    redis: master,
    log,
    isOurs: true,
    onFlood: (workerId, reason) => void floods.push(`${workerId}: ${reason}`),
    onCodeFlood: async codeId => void floods.push(codeId)
  })
}

const urlOf = (user: string): string => {
  const url = new URL(server.url)
  url.username = user
  url.password = 'secret'
  return url.href
}

const encode = (...words: string[]): string =>
  `*${words.length}\r\n${words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`

/** Logs in, and reads nothing of what is answered. */
async function silent(user: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  sockets.push(socket)
  socket.on('error', () => {})
  await new Promise(resolve => socket.once('connect', resolve))
  await new Promise<void>(resolve => {
    socket.once('data', () => resolve())
    socket.write(encode('AUTH', user, 'secret'))
  })
  socket.pause()
  return socket
}

/** Sends it again and again, as fast as Redis takes it, until the connection ends or so many bytes went. */
async function flood(socket: Socket, text: string, mostBytes: number): Promise<void> {
  const bytes = Buffer.from(text)
  for (let sent = 0; sent < mostBytes && !socket.destroyed; sent += bytes.length)
    if (!socket.write(bytes))
      await new Promise<void>(resolve => {
        const go = (): void => {
          socket.off('drain', go).off('close', go)
          resolve()
        }
        socket.on('drain', go).on('close', go)
        setTimeout(go, 5_000).unref()
      })
}

async function memory(name: string): Promise<number> {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(await master.info('memory'))?.[1])
}

test.each([WORKER, CODE])('%s has no command that answers with, or keeps, what it was sent', async user => {
  const login = connectRedis(urlOf(user), { name: 'a name', restricted: true })
  try {
    await waitForRedis(login)
    const large = 'x'.repeat(MEGABYTE)
    await expect(login.ping(large)).rejects.toThrow(/NOPERM/)
    await expect(login.echo(large)).rejects.toThrow(/NOPERM/)
    await expect(login.client('SETNAME', large)).rejects.toThrow(/NOPERM/)
    await expect(login.call('HELLO', '2', 'SETNAME', large)).rejects.toThrow(/unknown command/)
    // Of a connection that is nobody's now, nobody can tell whose it was.
    await expect(login.call('RESET')).rejects.toThrow(/unknown command/)
    for (let n = 0; n < 32; n++) await expect(login.set(`${n}${large}`, 'x')).rejects.toThrow(/NOPERM/)
    expect(await master.call('ACL', 'LOG')).toEqual([])
    // What our own clients send to a connection that is idle.
    expect(await login.client('ID')).toBeGreaterThan(0)
    expect(String(await master.client('LIST'))).not.toContain('a name')
  } finally {
    await closeRedis(login)
  }
})

test('a worker that names its inbox 40,000 times in one command gets each message once', async () => {
  for (let n = 0; n < 256; n++) await master.rpush(inboxKey(WORKER), 'x'.repeat(1_000))
  const login = connectRedis(urlOf(WORKER), { name: 'x', restricted: true })
  await waitForRedis(login)
  const words = ['1', '40000', ...Array<string>(40_000).fill(inboxKey(WORKER)), 'LEFT', 'COUNT', '1000000']
  const [, popped] = (await login.call('BLMPOP', ...words)) as [string, string[]]
  expect(popped).toHaveLength(256)
  expect(await login.call('BLMPOP', ...words)).toBeNull()
  await expect(login.call('XREAD', 'STREAMS', inboxKey(WORKER), '0')).rejects.toThrow(/NOPERM/)
  expect(await memory('used_memory_peak')).toBeLessThan(64 * MEGABYTE)
  await closeRedis(login)
}, 30_000)

test('answers that nobody reads end their connections, and not those of masters', async () => {
  // The watch is another guard: without it, so that what is seen here is Redis's own.
  await watch.stop()
  const own = String(Math.round((await memory('maxmemory')) / 4))
  expect(await master.config('GET', 'maxmemory-clients')).toEqual(['maxmemory-clients', own])
  const most = 16 * MEGABYTE
  await master.config('SET', 'maxmemory-clients', String(most))
  await master.config('RESETSTAT')
  const before = Number(await master.client('ID'))
  const thieves = await Promise.all(Array.from({ length: 3 }, () => silent(WORKER)))
  await Promise.all(thieves.map(socket => flood(socket, 'x\r\n'.repeat(20_000), 4 * MEGABYTE)))
  const evicted = async () => Number(/evicted_clients:(\d+)/.exec(await master.info('stats'))?.[1])
  await expect.poll(evicted, WAIT).toBeGreaterThan(0)
  expect(await memory('used_memory_peak')).toBeLessThan(4 * most)
  expect(Number(await master.client('ID'))).toBe(before)
  await master.config('SET', 'maxmemory-clients', own)
  startWatch()
}, 60_000)

test('a join code that holds megabytes of Redis loses its connections and is over', async () => {
  const most = Array.from({ length: 4 }, async () => {
    const socket = await silent(CODE)
    // Never whole.
    socket.write(`*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$4000000\r\n${'x'.repeat(3_900_000)}`)
    return socket
  })
  const open = await Promise.all(most)
  await expect.poll(() => floods, WAIT).toContain(CODE)
  await expect.poll(() => open.every(socket => socket.resume().destroyed), WAIT).toBe(true)
}, 60_000)

const emptyWords = (count: number): string => `*${count + 1}\r\n$3\r\nSET\r\n${'$0\r\n\r\n'.repeat(count)}`

test('a join code that sends a command of many words loses its connections and is over', async () => {
  const socket = await silent(CODE)
  socket.resume()
  socket.write(emptyWords(100_000))
  await expect.poll(() => floods, WAIT).toContain(CODE)
  await expect.poll(() => socket.destroyed, WAIT).toBe(true)
}, 60_000)

test('a machine that joins, and asks ten times as often as ours does, is in order', async () => {
  const login = connectRedis(urlOf(CODE), { name: 'x', restricted: true })
  await waitForRedis(login)
  for (let n = 0; n < 300; n++) {
    if (n % 100 === 0) await login.set(enrolAskKey(CODE), 'x'.repeat(LARGEST_ENROL_REQUEST), 'PX', 60_000)
    await login.get(enrolAnswerKey(CODE))
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  expect(floods).toEqual([])
  await closeRedis(login)
}, 30_000)

test.each([
  ['gives commands of many words, 14 MB a second', 14, true],
  ['sends 7 MB a second', 7, false]
])(
  'a worker that %s for 20 s: ended or not',
  async (_what, megabytesPerS, isEnded) => {
    const socket = await silent(WORKER)
    socket.resume()
    const text = Buffer.from(emptyWords(170_000))
    const startMs = performance.now()
    for (let sent = 0; performance.now() - startMs < 20_000 && !socket.destroyed; sent += text.length) {
      socket.write(text)
      const dueMs = ((sent + text.length) / MEGABYTE / megabytesPerS) * 1_000
      await new Promise(resolve => setTimeout(resolve, startMs + dueMs - performance.now()))
    }
    expect(socket.destroyed).toBe(isEnded)
    expect(floods).toHaveLength(isEnded ? 1 : 0)
  },
  60_000
)

test.each([
  [
    'sets its presence without end',
    'bytes a second',
    encode('SET', presenceKey(WORKER), 'x'.repeat(60_000), 'PX', '9000')
  ],
  ['gives small commands without end', 'small commands a second', encode('CLIENT', 'ID').repeat(1_000)],
  ['gives commands that are refused without end', 'small commands a second', encode('PING').repeat(1_000)]
])(
  'a worker that %s is reported, and its connections end',
  async (_what, reason, text) => {
    const socket = await silent(WORKER)
    socket.resume()
    const flooding = flood(socket, text, 2_000 * MEGABYTE)
    await expect.poll(() => floods.join(), WAIT).toContain(reason)
    await flooding
    expect(socket.destroyed).toBe(true)
  },
  60_000
)

test('a worker that sends a result of 16 MB now and then, and reads, is in order', async () => {
  const login = connectRedis(urlOf(WORKER), { name: 'x', restricted: true })
  await waitForRedis(login)
  const endMs = performance.now() + 3_000
  while (performance.now() < endMs) {
    await login.set(presenceKey(WORKER), 'x'.repeat(2 * MEGABYTE), 'PX', 9_000)
    await new Promise(resolve => setTimeout(resolve, 125))
  }
  expect(floods).toEqual([])
  await closeRedis(login)
}, 30_000)
