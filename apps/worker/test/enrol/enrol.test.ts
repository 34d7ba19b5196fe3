import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { ENROL_STREAM, enrolAskKey, enrolReplyKey, MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { type EnrolDeps, enrol } from '../../src/enrol/enrol.ts'
import { readIdentity, writeIdentity } from '../../src/enrol/identity.ts'
import { lockName } from '../../src/enrol/name-lock.ts'
import { quiet, until } from '../fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const blocking = connectRedis(server.url, { name: 'test', blocking: true })
afterAll(async () => {
  await closeRedis(blocking)
  await closeRedis(redis)
  await server.stop()
})
beforeEach(async () => void (await redis.flushall()))

const deps = (): EnrolDeps => ({ redis, blocking, log: quiet, signal: new AbortController().signal })
const who = { name: 'desk', hostname: 'desk.local', workerId: 'w-1', classes: ['gpu', 'cpu'] }

async function nextRequest(): Promise<Record<string, string>> {
  await until(async () => (await redis.xlen(ENROL_STREAM)) > 0)
  const [[, fields] = ['', []]] = await redis.xrange(ENROL_STREAM, '-', '+')
  return Object.fromEntries(fields.flatMap((field, at) => (at % 2 === 0 ? [[field, fields[at + 1] as string]] : [])))
}

test('waits for a master, asks with the id of an earlier time, and takes the answer', async () => {
  const enrolling = enrol(deps(), who)
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION), httpUrl: 'http://m' })
  const { replyTo, ...said } = await nextRequest()
  expect(said).toEqual({ ...who, classes: 'gpu,cpu', protocol: String(PROTOCOL_VERSION), proof: '' })
  expect(await redis.exists(enrolAskKey(replyTo as string))).toBe(1)
  await redis.rpush(enrolReplyKey(replyTo as string), JSON.stringify({ workerId: 'w-1', key: 'sc_k' }))
  expect(await enrolling).toEqual({ workerId: 'w-1', key: 'sc_k' })
})

test('is told that it was drained before', async () => {
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION) })
  const enrolling = enrol(deps(), who)
  const { replyTo } = await nextRequest()
  await redis.rpush(enrolReplyKey(replyTo as string), JSON.stringify({ workerId: 'w-1', key: 'k', draining: true }))
  expect(await enrolling).toEqual({ workerId: 'w-1', key: 'k', draining: true })
})

test('a refusal is told', async () => {
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION) })
  const refused = expect(enrol(deps(), who)).rejects.toMatchObject({ code: 'SC_FORBIDDEN', message: /was revoked/ })
  const { replyTo } = await nextRequest()
  await redis.rpush(enrolReplyKey(replyTo as string), JSON.stringify({ error: 'the worker was revoked' }))
  await refused
})

test('says which side to update when the versions differ', async () => {
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION + 1) })
  await expect(enrol(deps(), who)).rejects.toMatchObject({ code: 'SC_PROTOCOL_VERSION', message: /update this worker/ })
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION - 1) })
  await expect(enrol(deps(), who)).rejects.toMatchObject({ code: 'SC_PROTOCOL_VERSION', message: /update the master/ })
})

test('keeps the identity, and only one process may have a name', () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'sc-name-')), 'desk')
  expect(readIdentity(folder)).toBeUndefined()
  const unlock = lockName(folder, 'desk')
  writeIdentity(folder, { workerId: 'w-1', key: 'k' })
  expect(readIdentity(folder)).toEqual({ workerId: 'w-1', key: 'k' })
  expect(() => lockName(folder, 'desk')).toThrow(
    `A worker named desk runs on this machine already (process ${process.pid})`
  )
  unlock()
  lockName(folder, 'desk')()
})
