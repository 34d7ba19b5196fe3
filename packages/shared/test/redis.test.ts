import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { closeRedis, connectRedis, MAX_BLOCK_MS, type Redis, waitForRedis } from '../src/redis.ts'
import { startRedis, type TestRedis } from './start-redis.ts'

let server: TestRedis
let network: Awaited<ReturnType<typeof startNetwork>>
const open: Redis[] = []

beforeAll(async () => {
  server = await startRedis()
  network = await startNetwork(Number(new URL(server.url).port))
})
afterAll(async () => {
  for (const redis of open) await closeRedis(redis)
  await network.stop()
  await server.stop()
})

function connectThrough(name: string, blocking = false): Redis {
  const redis = connectRedis(network.url, { name, blocking })
  open.push(redis)
  return redis
}

function closing(redis: Redis): Promise<void> {
  return new Promise(resolve => redis.once('close', resolve))
}

/** A network between client and server that can fall silent without closing anything, as a broken one does. */
async function startNetwork(port: number) {
  const sockets = new Set<Socket>()
  let silent = false
  const relay = createServer(client => {
    const upstream = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(from)
      from.on('data', chunk => void (silent || to.write(chunk)))
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(relay, 'listening')
  const address = relay.address() as { port: number }
  return {
    url: `redis://127.0.0.1:${address.port}`,
    setSilent(yes: boolean) {
      silent = yes
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      relay.close()
      await once(relay, 'close')
    }
  }
}

test('commands wait while Redis is away and are answered when it is back', async () => {
  const redis = connectRedis(server.url, { name: 'test' })
  open.push(redis)
  await waitForRedis(redis)
  await server.kill()
  const answer = redis.incr('counted')
  await server.start()
  expect(await answer).toBe(1)
})

test('a silent network is noticed by an idle connection, a waiting command and a subscriber', async () => {
  const [idle, waiting, subscriber] = [connectThrough('idle'), connectThrough('waiting'), connectThrough('subscriber')]
  const heard: string[] = []
  subscriber.on('message', (_channel, text: string) => heard.push(text))
  await subscriber.subscribe('news')
  await Promise.all([waitForRedis(idle), waitForRedis(waiting)])
  const noticed = Promise.all([idle, waiting, subscriber].map(closing))
  network.setSilent(true)
  const answer = waiting.set('during', 'the silence')
  await noticed
  network.setSilent(false)
  expect(await answer).toBe('OK')
  await vi.waitFor(
    async () => {
      await idle.publish('news', 'back')
      expect(heard).toContain('back')
    },
    { timeout: 10_000, interval: 100 }
  )
})

test('a blocking command may take as long as it is allowed to', async () => {
  const redis = connectThrough('blocking', true)
  await waitForRedis(redis)
  const closed = vi.fn()
  redis.on('close', closed)
  expect(await redis.blpop('nothing', MAX_BLOCK_MS / 1000)).toBeNull()
  expect(closed).not.toHaveBeenCalled()
})

test('a refused login is a matter of configuration, nobody there is not, and neither shows the password', async () => {
  const { port } = new URL(server.url)
  const locked = connectRedis(server.url, { name: 'owner' })
  open.push(locked)
  await locked.config('SET', 'requirepass', 'right')
  const wrong = connectRedis(`redis://:hunter2@127.0.0.1:${port}`, { name: 'wrong' })
  const nobody = connectRedis('redis://:hunter2@127.0.0.1:1', { name: 'nobody' })
  open.push(wrong, nobody)
  await expect(waitForRedis(wrong)).rejects.toMatchObject({ code: 'SC_CONFIG', message: expect.stringContaining(port) })
  const failure = await waitForRedis(nobody, { timeoutMs: 300 }).catch(error => error)
  expect(failure).toMatchObject({ code: 'SC_UNAVAILABLE', message: expect.stringContaining('ECONNREFUSED') })
  expect(failure.message).not.toContain('hunter2')
  await expect(waitForRedis(nobody, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  await locked.config('SET', 'requirepass', '')
})
