import { createLog } from '@sc/shared/log.ts'
import { connectRedis } from '@sc/shared/redis.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRedisWatch } from '../../src/cluster/redis-watch.ts'
import { startApp, type TestApp } from '../http/start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

it('revokes a worker while a script holds Redis up, and ends its login after it', async () => {
  const { db, redis, access } = one.deps
  const users = async () => (await redis.call('ACL', 'USERS')) as string[]
  await db
    .insertInto('workers')
    .values({ id: 'w-1', name: 'desk', hostname: 'desk', redis_hash: 'a'.repeat(64) })
    .execute()
  access.wake()
  await expect.poll(users).toContain('w-1')
  const other = connectRedis(one.servers.redisUrl, { name: 'other', bare: true })
  const script = other.eval('while true do end', 0).catch((error: Error) => error.message)
  await expect.poll(() => redis.ping().catch((error: Error) => error.message)).toMatch(/^BUSY/)

  const answer = await one.app.inject({ method: 'DELETE', url: '/api/workers/w-1', headers: one.bearer('admin') })
  expect([answer.statusCode, answer.json()]).toEqual([200, { id: 'w-1', status: 'revoked' }])
  // What has to be written now is refused, and may be tried again.
  const code = await one.app.inject({ method: 'POST', url: '/api/cluster/join-codes', headers: one.bearer('admin') })
  expect([code.statusCode, code.json().code]).toEqual([503, 'SC_UNAVAILABLE'])

  const watch = startRedisWatch({ redisUrl: one.servers.redisUrl, log: createLog('test', 'silent') })
  expect(await script).toMatch(/killed/i)
  other.disconnect()
  await expect.poll(users).not.toContain('w-1')
  await watch.stop()
})
