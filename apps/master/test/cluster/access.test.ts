import { readFile } from 'node:fs/promises'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { presenceKey } from '@sc/shared/redis-keys.ts'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Access, startAccess } from '../../src/cluster/access.ts'
import { joinAnswer } from '../../src/cluster/join-command.ts'
import { PRESENCE, registerTasks } from '../http/register-tasks.ts'
import { startApp, type TestApp } from '../http/start-app.ts'

let one: TestApp
const place = { mode: 'lan' as const, brokerUrl: 'redis://192.0.2.1:6379', masterUrl: 'http://192.0.2.1:5080' }

beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

const enrolled = async (id: string, columns: { is_old?: boolean; redis_hash?: string } = {}) => {
  await registerTasks(one, id, [], { protocol: 1 })
  const row = { redis_hash: 'a'.repeat(64), ...columns }
  await one.deps.db.updateTable('workers').set(row).where('id', '=', id).execute()
}
const users = async () => (await one.deps.redis.call('ACL', 'USERS')) as string[]

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
    expect(await users()).toContain(user)
    await one.deps.db
      .updateTable('join_codes')
      .set({ expires_at: new Date(Date.now() - 1_000) })
      .where('id', '=', user)
      .execute()
    await expect.poll(users).not.toContain(user)
  })
})

describe('what a worker may', () => {
  const rights = async (id: string) => JSON.stringify(await one.deps.redis.call('ACL', 'GETUSER', id))

  it('does not grow by a presence that names an old protocol, and ends with the update of one that is old', async () => {
    await enrolled('w-liar')
    await enrolled('w-old', { is_old: true })
    await expect.poll(() => rights('w-old'), { timeout: 10_000 }).toContain('sc:ctl:w-old')
    await expect.poll(async () => (await one.deps.presence.workers()).map(({ id }) => id)).toContain('w-liar')
    await one.deps.access.grantWorker('w-liar')
    expect(await rights('w-liar')).not.toMatch(/info|sc:master|sc:ctl/)
    const say = (presence: object) =>
      one.deps.redis.set(presenceKey('w-old'), JSON.stringify({ ...PRESENCE, ...presence }), 'PX', 600_000)
    await say({ id: 'w-old', name: 'w-old' })
    await expect.poll(() => rights('w-old'), { timeout: 10_000 }).not.toContain('sc:ctl')
    await say({ id: 'w-old', name: 'w-old', protocol: 1, hostname: 'again' })
    await expect.poll(() => one.deps.presence.workers().find(({ id }) => id === 'w-old')?.hostname).toBe('again')
    await one.deps.access.grantWorker('w-old')
    expect(await rights('w-old')).not.toContain('sc:ctl')
  })

  it('comes back, with open codes, also while the rights of another cannot be made', async () => {
    await enrolled('w-broken', { redis_hash: 'no hash' })
    await enrolled('w-other')
    await one.deps.access.grantWorker('w-other')
    const { user } = await one.deps.access.createJoinCode()
    await one.deps.redis.call('ACL', 'DELUSER', 'w-other', user)
    one.deps.redis.disconnect(true)
    await expect.poll(users, { timeout: 10_000 }).toEqual(expect.arrayContaining(['w-other', user]))
  })
})

describe('revoking', () => {
  const saved = async () => {
    const [, path] = (await one.deps.redis.config('GET', 'aclfile')) as [string, string]
    return await readFile(path, 'utf8')
  }

  it('ends the login in the file of Redis, too, also when saving fails at first', async () => {
    const { access, redis } = one.deps
    await enrolled('w-returns')
    await access.grantWorker('w-returns')
    expect(await saved()).toContain('w-returns')
    const call = redis.call.bind(redis)
    let failures = 0
    const spy = vi
      .spyOn(redis, 'call')
      .mockImplementation(((...words: [string, ...string[]]) =>
        words[1] === 'SAVE' && failures++ === 0
          ? Promise.reject(new Error('ERR There was an error trying to save the ACLs.'))
          : call(...words)) as typeof redis.call)
    await access.revokeWorker('w-returns')
    expect(failures).toBeGreaterThan(0)
    await expect.poll(saved, { timeout: 10_000 }).not.toContain('w-returns')
    spy.mockRestore()
  })

  it('ends users of workers and codes that PostgreSQL does not know, and no others', async () => {
    const { access, redis } = one.deps
    await enrolled('w-known')
    await access.grantWorker('w-known')
    const { user: code } = await access.createJoinCode()
    for (const user of ['w-stranger', 'join-stranger', 'somebody'])
      await redis.call('ACL', 'SETUSER', user, 'on', '>secret')
    await expect.poll(users, { timeout: 10_000 }).not.toContain('w-stranger')
    expect(await users()).not.toContain('join-stranger')
    expect(await users()).toEqual(expect.arrayContaining(['w-known', code, 'somebody']))
    await expect.poll(saved).not.toMatch(/stranger/)
  })

  it('waits for answers that are being applied: what comes after finds them', async () => {
    await registerTasks(one, 'w-busy', [])
    const { promise: applied, resolve: apply } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const applying = one.deps.db.transaction().execute(async trx => {
      await trx.selectFrom('workers').select('id').where('id', '=', 'w-busy').forKeyShare().execute()
      begin()
      await applied
    })
    await begun
    let isRevoked = false
    const revoking = one.deps.access.revokeWorker('w-busy').then(() => {
      isRevoked = true
    })
    await expect
      .poll(async () => {
        const { rows } = await sql<{ waiting: number }>`
          select count(*)::integer as waiting from pg_stat_activity
          where wait_event_type = 'Lock' and datname = current_database()`.execute(one.deps.db)
        return rows[0]?.waiting
      })
      .toBe(1)
    expect(isRevoked).toBe(false)
    apply()
    await Promise.all([applying, revoking])
    expect(isRevoked).toBe(true)
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
