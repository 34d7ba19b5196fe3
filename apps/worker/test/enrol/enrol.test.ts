import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { dataDir, writeMasterFile } from '@sc/shared/data-dir.ts'
import {
  type EnrolReply,
  type EnrolRequest,
  enrolRequestSchema,
  isProof,
  joinUser,
  newSeal,
  sealReply,
  secretHash
} from '@sc/shared/enrol-request.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { ENROL_ASKERS, enrolAnswerKey, enrolAskKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { type EnrolDeps, enrol } from '../../src/enrol/enrol.ts'
import { readIdentity, writeIdentity } from '../../src/enrol/identity.ts'
import { joinCluster } from '../../src/enrol/join.ts'
import { lockName } from '../../src/enrol/name-lock.ts'
import { quiet, until } from '../fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
afterAll(async () => {
  await closeRedis(redis)
  await server.stop()
})
beforeEach(async () => void (await redis.flushall()))

const deps = (): EnrolDeps => ({ redis, log: quiet, signal: new AbortController().signal })
const who = { name: 'desk', hostname: 'desk.local', workerId: 'w-1' }

async function requestOf(asker: string): Promise<EnrolRequest> {
  await until(async () => (await redis.exists(enrolAskKey(asker))) === 1)
  return enrolRequestSchema.parse(JSON.parse((await redis.get(enrolAskKey(asker))) as string))
}

/** That of the next who comes with an ordinary login. */
async function nextRequest(): Promise<EnrolRequest> {
  await until(async () => (await redis.llen(ENROL_ASKERS)) > 0)
  return requestOf((await redis.lpop(ENROL_ASKERS)) as string)
}

const answer = ({ asker, seal }: EnrolRequest, reply: EnrolReply) =>
  redis.set(enrolAnswerKey(asker), sealReply(seal, reply))

test('an ordinary login: asks with the id of an earlier time, waits for a master, and takes the answer', async () => {
  const enrolling = enrol(deps(), who)
  const request = await nextRequest()
  expect(request).toMatchObject({ ...who, protocol: PROTOCOL_VERSION, proof: '' })
  expect(await redis.pttl(enrolAskKey(request.asker))).toBeGreaterThan(0)
  await answer(request, { workerId: 'w-1', key: 'sc_k', secret: 's' })
  expect(await enrolling).toEqual({ workerId: 'w-1', key: 'sc_k', secret: 's' })
})

test('each request has a name and a seal of its own', async () => {
  const stop = new AbortController()
  const enrolling = Promise.allSettled([1, 2].map(() => enrol({ ...deps(), signal: stop.signal }, who)))
  const [one, two] = [await nextRequest(), await nextRequest()]
  expect(one.asker).not.toBe(two.asker)
  expect(one.seal).not.toBe(two.seal)
  const reason = new Error('enough')
  stop.abort(reason)
  expect(await enrolling).toEqual([1, 2].map(() => ({ status: 'rejected', reason })))
})

test('a join code: asks in its own name with a proof of all that it says, and needs no more than its own two keys', async () => {
  const code = { user: joinUser(new Date(Date.now() + 60_000), '0123456789ab'), secret: 'of the code' }
  const keys = [`(+set %W~${enrolAskKey(code.user)})`, `(+get %R~${enrolAnswerKey(code.user)})`]
  const words = ['+hello', '+auth', '+ping', '+quit', '+client|setname', '+client|id']
  await redis.call('ACL', 'SETUSER', code.user, 'reset', 'on', `>${code.secret}`, '-@all', ...words, ...keys)
  const url = server.url.replace('redis://', `redis://${code.user}:${encodeURIComponent(code.secret)}@`)
  const login = connectRedis(url, { name: 'test', restricted: true })
  try {
    await waitForRedis(login)
    const enrolling = enrol({ ...deps(), redis: login }, { ...who, workerId: undefined }, code)
    const request = await requestOf(code.user)
    expect(request).toMatchObject({ asker: code.user, name: 'desk', hostname: 'desk.local', workerId: '' })
    expect(isProof(secretHash(code.secret), request)).toBe(true)
    expect(isProof(secretHash(code.secret), { ...request, name: 'another' })).toBe(false)
    expect(await redis.exists(ENROL_ASKERS)).toBe(0)
    await answer(request, { workerId: 'w-2', key: 'k', secret: 's' })
    expect(await enrolling).toEqual({ workerId: 'w-2', key: 'k', secret: 's' })
  } finally {
    await closeRedis(login)
    await redis.call('ACL', 'DELUSER', code.user)
  }
})

test('an answer that is sealed for somebody else, or is none, is left alone', async () => {
  const enrolling = enrol(deps(), who)
  const request = await nextRequest()
  await answer({ ...request, seal: newSeal() }, { workerId: 'w-9', key: 'of another' })
  // More than one look at each of them.
  await new Promise(resolve => setTimeout(resolve, 300))
  await redis.set(enrolAnswerKey(request.asker), 'no answer at all')
  await new Promise(resolve => setTimeout(resolve, 300))
  await answer(request, { workerId: 'w-1', key: 'k' })
  expect(await enrolling).toEqual({ workerId: 'w-1', key: 'k' })
})

test.each([
  ['SC_REVOKED', 'SC_REVOKED'],
  ['SC_NAME_TAKEN', 'SC_NAME_TAKEN'],
  ['SC_PROTOCOL_VERSION', 'SC_PROTOCOL_VERSION'],
  ['SC_OF_A_LATER_VERSION', 'SC_FORBIDDEN']
])('a refusal with %s is an error with %s and the reason', async (code, expected) => {
  const refused = expect(enrol(deps(), who)).rejects.toMatchObject({ code: expected, message: /the reason/ })
  await answer(await nextRequest(), { error: { code, detail: 'this is the reason' } })
  await refused
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

test('a worker that was there before waits for the master of its machine, as after a boot; one that never was does not', async () => {
  const dir = dataDir(mkdtempSync(join(tmpdir(), 'sc-boot-')))
  const joining = { config: {} as Config, dir, name: 'desk', log: quiet, signal: new AbortController().signal }
  await expect(joinCluster(joining)).rejects.toMatchObject({ code: 'SC_CONFIG', message: /^There is no master in/ })
  writeIdentity(dir.worker('desk'), { workerId: 'w-1', key: 'sc_k' })
  const joined = joinCluster(joining)
  const early = await Promise.race([joined.catch(String), new Promise(resolve => setTimeout(resolve, 1_200, 'waits'))])
  expect(early).toBe('waits')
  writeMasterFile(dir, { redisUrl: server.url, httpUrl: 'http://127.0.0.1:1', pid: process.pid, loginUrl: '' })
  await answer(await nextRequest(), { workerId: 'w-1', key: 'sc_new' })
  const { identity, redis: own } = await joined
  await closeRedis(own)
  expect(identity).toMatchObject({ workerId: 'w-1', key: 'sc_new' })
})
