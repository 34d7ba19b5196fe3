import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { diskOutcome } from '@sc/shared/doctor/disk.ts'
import { type Finding, findingSchema } from '@sc/shared/doctor/finding.ts'
import { closeRedis, connectRedis, type Redis } from '@sc/shared/redis.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { speedOutcome } from '../../src/doctor/blobs.ts'
import { versionOutcome } from '../../src/doctor/broker.ts'
import { askCuda, cudaOutcome } from '../../src/doctor/machine.ts'
import { checkRights } from '../../src/doctor/rights.ts'
import type { Identity } from '../../src/enrol/identity.ts'
import { writeKnownMaster } from '../../src/messaging/known-master.ts'

// Each run of the command starts Python.
vi.setConfig({ testTimeout: 120_000 })

/** A real Redis, and in the master's place a server with a model of 8 MB. */
const MODEL = Buffer.alloc(8 * 1024 ** 2)
let folder: string
let server: Awaited<ReturnType<typeof startRedis>>
let redis: Redis
const http = createServer((request, response) => {
  if (request.url === '/healthz') return void response.end('{}')
  if (request.headers.authorization !== 'Bearer good') return void response.writeHead(401).end()
  if (request.url === '/blobs/models/manifest.json')
    return void response.end(JSON.stringify({ models: [{ name: 'base', sizeBytes: MODEL.length }] }))
  response.writeHead(request.url === '/blobs/models/base/model.bin' ? 200 : 404).end(MODEL)
})

beforeAll(async () => {
  server = await startRedis()
  redis = connectRedis(server.url, { name: 'test' })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  http.closeAllConnections()
  http.close()
  await closeRedis(redis)
  await server.stop()
})
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sc-doctor-'))
  const httpUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION), version: '0.1.0', httpUrl })
})

function enrolled(key: string, workerId = 'w-1', more: Partial<Identity> = {}): void {
  mkdirSync(join(folder, 'workers', 'desk'), { recursive: true })
  writeFileSync(join(folder, 'workers', 'desk', 'identity.json'), JSON.stringify({ workerId, key, ...more }))
}

async function doctor(env: Record<string, string>): Promise<{ exitCode: number | undefined; findings: Finding[] }> {
  const main = join(import.meta.dirname, '../../src/main.js')
  const { stdout, exitCode } = await execa(process.execPath, [main, 'doctor', '--json', '--name', 'desk'], {
    env: { ...childEnv(), SC_DATA_DIR: folder, ...env },
    extendEnv: false,
    cwd: folder,
    reject: false
  })
  const findings = findingSchema.array().parse(JSON.parse(stdout).findings)
  for (const { status, next } of findings) expect(next === null).toBe(status === 'ok')
  return { exitCode, findings }
}
const of = (findings: Finding[], check: string) => findings.find(finding => finding.check === check)

test('an enrolled worker whose cluster answers: each thing that it needs', async () => {
  enrolled('good')
  writeFileSync(join(folder, 'master.json'), JSON.stringify({ redisUrl: server.url, httpUrl: 'http://m', pid: 1 }))
  const { exitCode, findings } = await doctor({})
  expect(findings.filter(({ status }) => status === 'failed')).toEqual([])
  expect(exitCode).toBe(0)
  const checks = findings.map(({ check }) => check.replace(/ of .*/, ''))
  expect(checks).toEqual([
    ...['python', 'models', 'gpus', 'driver', 'cuda libraries', 'disk', 'disk'],
    ...['broker: name', 'broker: round trip', 'broker: login', 'master: version', 'master: name', 'master: round trip'],
    ...['master: path', 'master: packet size', 'master: clock', 'broker: rights', 'blobs']
  ])
  expect(of(findings, 'python')?.found).toContain('faster-whisper')
  expect(of(findings, 'blobs')?.found).toMatch(/MB\/s$/)
  expect(of(findings, 'broker: rights')?.found).toBe('everything, as the master of this machine')
})

test('nothing is left in Redis by trying what the login may do', async () => {
  enrolled('good')
  const before = await redis.keys('*')
  await doctor({ SC_BROKER: server.url })
  expect((await redis.keys('*')).sort()).toEqual(before.sort())
})

/** The rights that the master gives a worker, as against fewer and more. */
const CONNECTION = ['+auth', '+quit', '+client|id']
const OWN = ['(+blmpop %RW~sc:in:w-1)', '(+xadd %W~sc:out:w-1)', '(+set %W~sc:presence:w-1)']
const asUser = (user: string): string => server.url.replace('redis://', `redis://${user}:pw@`)
const setUser = (user: string, ...words: string[]) =>
  redis.call('ACL', 'SETUSER', user, 'reset', 'on', '>pw', '-@all', ...CONNECTION, ...words)

test('a login of its own, one with too few rights, and one with too many', async () => {
  await setUser('w-1', ...OWN)
  await setUser('few', ...OWN.slice(1, -1))
  await setUser('old', ...OWN, '(+@read %R~sc:q:*)', '(+hgetall +exists %R~sc:master)')
  await setUser('all', '~*', '&*', '+@all')
  const rights = async (user: string) => {
    const login = connectRedis(asUser(user), { name: 'test', restricted: true })
    const [check] = checkRights({ redis: login, workerId: 'w-1', isOfThisMachine: false })
    return await check?.look().finally(() => closeRedis(login))
  }
  expect(await rights('w-1')).toMatchObject({ status: 'ok', found: 'what it needs, and nothing else that was tried' })
  expect(await rights('few')).toMatchObject({
    status: 'failed',
    found: 'it may not read its inbox, nor write its presence'
  })
  expect(await rights('old')).toMatchObject({
    status: 'warning',
    found: 'what it needs, and also to read the queues, to read where the master is'
  })
  expect(await rights('all')).toMatchObject({
    status: 'warning',
    found: expect.stringContaining('also to read its own outbox, to read the outbox of another')
  })
})

test('with a login of its own the master is what it was called last, as is written beside the identity', async () => {
  await setUser('w-1', ...OWN)
  const known = await redis.hgetall(MASTER_KEY)
  enrolled('good', 'w-1', { broker: server.url, secret: 'pw' })
  const before = await doctor({})
  expect(of(before.findings, 'master: version')).toMatchObject({
    status: 'failed',
    found: 'no master has named itself to this worker'
  })
  expect(of(before.findings, 'broker: rights')).toMatchObject({ status: 'ok' })

  writeKnownMaster(join(folder, 'workers', 'desk'), {
    protocol: PROTOCOL_VERSION,
    version: '0.1.0',
    httpUrl: known.httpUrl as string
  })
  const { findings } = await doctor({})
  expect(of(findings, 'master: version')?.status).toBe('ok')
  expect(of(findings, 'master: round trip')?.status).toBe('ok')
  expect(of(findings, 'blobs')?.found).toMatch(/MB\/s$/)
})

test('a login that is refused', async () => {
  const { exitCode, findings } = await doctor({ SC_BROKER: server.url.replace('redis://', 'redis://w-2:wrong-word@') })
  expect(of(findings, 'broker: login')).toMatchObject({ status: 'failed', found: /refuses the login/ })
  expect(JSON.stringify(findings)).not.toContain('wrong-word')
  expect(exitCode).toBe(1)
})

test('no master, a master of another protocol, a key that was revoked, an unfinished model', async () => {
  mkdirSync(join(folder, 'models', 'base'), { recursive: true })
  writeFileSync(join(folder, 'models', 'base', 'model.bin'), '')
  const alone = await doctor({ SC_MODELS_DIR: join(folder, 'models') })
  expect(alone.exitCode).toBe(1)
  expect(of(alone.findings, 'broker')).toMatchObject({ status: 'failed', found: expect.stringContaining(folder) })
  expect(of(alone.findings, 'models')).toMatchObject({ status: 'failed', found: /without config.json: base/ })

  enrolled('revoked')
  await redis.hset(MASTER_KEY, { protocol: String(PROTOCOL_VERSION + 1), version: '9.0.0' })
  const { exitCode, findings } = await doctor({ SC_BROKER: server.url, SC_MODELS_DIR: join(folder, 'none') })
  expect(exitCode).toBe(1)
  expect(of(findings, 'master: version')).toMatchObject({
    status: 'failed',
    next: /^Update this worker: in its folder/
  })
  expect(of(findings, 'blobs')).toMatchObject({ status: 'failed', found: /does not take this worker's key \(401\)/ })
  expect(of(findings, 'models')).toMatchObject({ status: 'warning', next: /fetch-model base --models-dir/ })
})

test("CTranslate2 and a slot's own way to find cuBLAS are asked", async () => {
  expect(JSON.parse(await askCuda())).toMatchObject({
    version: expect.stringMatching(/^\d/),
    devices: expect.any(Number)
  })
})

test('what versions, disks, libraries and speeds mean', () => {
  const own = { protocol: 3, version: '0.2.0' }
  const version = (protocol: string, master: string) => versionOutcome({ protocol, version: master }, own)
  expect(version('3', '0.2.0').status).toBe('ok')
  expect(version('3', '0.3.0')).toMatchObject({ status: 'warning', next: /^Update this worker/ })
  expect(version('3', '0.1.0')).toMatchObject({ status: 'warning', next: /^Update the master/ })
  expect(version('2', '0.1.0')).toMatchObject({ status: 'failed', next: /^Update the master/ })
  expect(versionOutcome({}, own)).toMatchObject({ status: 'failed', next: /^Start the master/ })
  expect([0.5, 3, 50].map(gib => diskOutcome(gib * 1024 ** 3).status)).toEqual(['failed', 'warning', 'ok'])
  const cuda = (devices: number, missing: string | null) =>
    cudaOutcome(JSON.stringify({ version: '4.8', devices, types: ['float16'], missing }))
  expect(cuda(1, null)).toMatchObject({ status: 'ok', found: 'CTranslate2 4.8 with 1 device and float16' })
  expect(cuda(0, null)).toMatchObject({ status: 'failed', next: /driver/ })
  expect(cuda(1, 'libcublas.so.12: cannot open')).toMatchObject({ status: 'failed', next: /bootstrap\/install/ })
  expect(speedOutcome({ bytes: 1000, seconds: 1 }).status).toBe('warning')
  expect(speedOutcome({ bytes: 10 ** 7, seconds: 1 })).toMatchObject({ status: 'ok', found: '9.5 MB/s' })
})
