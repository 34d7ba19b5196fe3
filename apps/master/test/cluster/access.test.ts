import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Access, startAccess } from '../../src/cluster/access.ts'
import { joinAnswer } from '../../src/cluster/join-command.ts'
import { startApp, type TestApp } from '../http/start-app.ts'

let one: TestApp
const place = { mode: 'lan' as const, brokerUrl: 'redis://192.0.2.1:6379', masterUrl: 'http://192.0.2.1:5080' }

beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

describe('the line for another machine', () => {
  it('has a code that ends in 15 minutes, for those who may make one', async () => {
    const ask = async (scope: 'admin' | 'submit', method: 'GET' | 'POST', url: string) =>
      await one.app.inject({ method, url, headers: one.bearer(scope) })
    const [got, made] = [
      await ask('admin', 'GET', '/api/cluster/join'),
      await ask('admin', 'POST', '/api/cluster/join-codes')
    ]
    expect([got.statusCode, made.statusCode]).toEqual([200, 201])
    expect(Object.keys(got.json())).toEqual([
      'command',
      'alternatives',
      'prerequisites',
      'mode',
      'masterAddress',
      'expiresAt'
    ])
    expect(got.json().command).toMatch(
      /^npm run start:worker -- --broker redis:\/\/join-[\w-]+:[\w-]+@127\.0\.0\.1:\d+$/
    )
    expect(got.json().command).not.toBe(made.json().command)
    expect(Math.round((Date.parse(got.json().expiresAt) - Date.now()) / 60_000)).toBe(15)
    expect((await ask('submit', 'GET', '/api/cluster/join')).statusCode).toBe(403)
    expect(one.lines.join('')).not.toContain(new URL(got.json().command.split(' ').at(-1)).password)
  })

  it('a code that was not used in time is gone from Redis', async () => {
    const { user } = await one.deps.access.createJoinCode()
    const users = async () => (await one.deps.redis.call('ACL', 'USERS')) as string[]
    expect(await users()).toContain(user)
    await one.deps.db
      .updateTable('join_codes')
      .set({ expires_at: new Date(Date.now() - 1_000) })
      .where('id', '=', user)
      .execute()
    await expect.poll(users).not.toContain(user)
  })
})

describe('a login that may not make users', () => {
  let access: Access
  it('leaves workers an ordinary login', async () => {
    const { redis, db } = one.deps
    await redis.call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '&*', '+@all', '-acl')
    const url = new URL(one.servers.redisUrl)
    url.username = 'plain'
    url.password = 'secret'
    const plain = connectRedis(url.href, { name: 'plain' })
    await waitForRedis(plain)
    access = await startAccess({ db, redis: plain, log: createLog('test', 'silent'), isOurs: false })
    try {
      expect(access.hasUsers).toBe(false)
      await expect(access.createJoinCode()).rejects.toMatchObject({ code: 'SC_CONFIG' })
      expect(joinAnswer(place, null)).toMatchObject({
        command: 'npm run start:worker -- --broker redis://USER:SECRET@192.0.2.1:6379',
        expiresAt: null
      })
    } finally {
      await access.stop()
      await closeRedis(plain)
    }
  })
})
