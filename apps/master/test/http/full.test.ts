import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRoom } from '../../src/cluster/room.ts'
import { startApp, type TestApp } from './start-app.ts'

const BALLAST = ['ballast-1', 'ballast-2']
let world: TestApp
beforeAll(async () => {
  world = await startApp()
})
afterAll(() => world?.release())

const post = (headers: Record<string, string>) =>
  world.app.inject({
    method: 'POST',
    url: '/transcribe',
    headers: { ...headers, 'content-type': 'text/plain' },
    payload: 'x'
  })

it('refuses new work before Redis is full, and takes it again when there is room', async () => {
  const { redis, room } = world.deps
  // One value may have 4 MB.
  for (const key of BALLAST) await redis.set(key, 'x'.repeat(2 * 1024 ** 2))
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  await redis.config('SET', 'maxmemory', String(Math.round(used * 1.1)))
  await room.look()
  const refused = await post(world.bearer('submit'))
  expect(refused.statusCode).toBe(429)
  expect(refused.json()).toMatchObject({
    code: 'SC_OVERLOADED',
    detail: expect.stringMatching(/^Redis uses \d+ MB of its/)
  })
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  // Looking is not work, and who has no key learns nothing.
  expect((await world.app.inject({ url: '/api/jobs', headers: world.bearer('read') })).statusCode).toBe(200)
  expect((await post({})).statusCode).toBe(401)

  await redis.del(...BALLAST)
  await redis.config('SET', 'maxmemory', '0')
  await room.look()
  expect((await post(world.bearer('submit'))).statusCode).toBe(400)
})

it('refuses new work before the disk is full', async () => {
  const { redis, log } = world.deps
  const room = await startRoom({ redis, folder: world.dir.root, log, leastFreeBytes: Number.MAX_SAFE_INTEGER })
  expect(() => room.check()).toThrow(/^The disk of the master has \d+ MB left/)
  expect(room.mayStore()).toBe(false)
  await room.stop()
  const roomy = await startRoom({ redis, folder: world.dir.root, log, leastFreeBytes: 1 })
  expect(roomy.mayStore()).toBe(true)
  await roomy.stop()
})
