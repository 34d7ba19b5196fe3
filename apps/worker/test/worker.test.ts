import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Presence } from '@sc/shared/presence.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'
import { addEntries, closeQueue, countEntries, openQueue } from '@sc/shared/queues.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { controlChannel, outboxKey, presenceKey } from '@sc/shared/redis-keys.ts'
import type { AttemptMessage, ControlMessage, OutboxMessage, UnitPayload } from '@sc/shared/unit.ts'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../../../packages/shared/test/start-redis.ts'
import { type RunningWorker, startWorker } from '../src/worker.ts'
import { fixture, quiet, until } from './fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const cpu = openQueue(redis, 'cpu')
const gpu = openQueue(redis, 'gpu')
const workers: RunningWorker[] = []
afterAll(async () => {
  await closeQueue(cpu)
  await closeQueue(gpu)
  await closeRedis(redis)
  await server.stop()
})
beforeEach(async () => void (await redis.flushall()))
afterEach(async () => {
  await Promise.all(workers.splice(0).map(worker => worker.stop()))
})

async function start(
  more: { python?: string; slots?: number; queues?: string[]; name?: string; masterUrl?: string } = {}
) {
  const { python = 'well_behaved', slots = 1, queues = ['gpu', 'cpu'], name = 'w', masterUrl } = more
  const worker = await startWorker({
    name,
    identity: { workerId: name, key: 'secret' },
    brokerUrl: server.url,
    redis,
    workerDir: mkdtempSync(join(tmpdir(), 'sc-worker-')),
    planner: () => Array.from({ length: slots }, (_, at) => ({ id: `cpu${at}`, device: 'cpu', classes: [], queues })),
    python: fixture(python),
    modelsDir: '/nowhere',
    tasksDir: null,
    masterUrl,
    log: quiet
  })
  workers.push(worker)
  return worker
}

function unit(unitId: string, task: string, params: Record<string, unknown> = {}): UnitPayload {
  return { unitId, jobId: 'j', task, index: 0, inputRef: null, params, deadline: 60_000 }
}

async function send(queue: typeof cpu, ...units: UnitPayload[]): Promise<void> {
  await addEntries(queue, units, { jobIds: units.map(one => `${one.unitId}-1`) })
}

/** What was said of attempts. */
async function said(workerId = 'w'): Promise<AttemptMessage[]> {
  const entries = await redis.xrange(outboxKey(workerId), '-', '+')
  const messages = entries.flatMap(([, fields]): OutboxMessage[] => JSON.parse(fields[1] as string))
  return messages.filter(message => message.type !== 'registered')
}

async function heard<T extends AttemptMessage['type']>(type: T, unitId: string, workerId = 'w') {
  let found: AttemptMessage | undefined
  await until(async () => {
    found = (await said(workerId)).find(message => message.type === type && message.unitId === unitId)
    return found !== undefined
  })
  return found as Extract<AttemptMessage, { type: T }>
}

const tell = (message: ControlMessage) => redis.publish(controlChannel('w'), JSON.stringify(message))
const presence = async (): Promise<Presence> => JSON.parse((await redis.get(presenceKey('w'))) ?? '{}')
const isEmpty = async () => Object.values(await countEntries(cpu)).every(count => count === 0)

test('takes from its queues in order, one at a time, and leaves nothing in Redis', async () => {
  await send(cpu, unit('c1', 'echo'), unit('c2', 'echo'))
  await send(gpu, unit('g1', 'wait', { ms: 100 }), unit('g2', 'echo', { x: 1 }))
  await start()
  await heard('result', 'c2')
  const order = (await said()).filter(m => m.type === 'started' || m.type === 'result')
  expect(order.map(m => `${m.type} ${m.unitId}`)).toEqual(
    ['g1', 'g2', 'c1', 'c2'].flatMap(id => [`started ${id}`, `result ${id}`])
  )
  expect(await heard('result', 'g2')).toMatchObject({ slot: 'cpu0', output: { x: 1 } })
  await until(isEmpty)
  expect(await redis.keys('sc:q:*:?[0-9]*')).toEqual([])
})

test('a field `files` of the params reaches no task: it would be read as paths of this machine', async () => {
  await send(cpu, unit('u', 'echo', { text: 'x', files: { input: '/etc/passwd' } }))
  await start()
  expect((await heard('result', 'u')).output).toEqual({ text: 'x' })
})

test('units that come while all slots wait start at once, each on its own slot', async () => {
  await start({ slots: 2, queues: ['cpu'] })
  await until(async () => (await presence()).slots?.every(slot => slot.state !== 'starting') ?? false)
  await send(cpu, unit('a', 'wait'), unit('b', 'wait'))
  const slots = [(await heard('started', 'a')).slot, (await heard('started', 'b')).slot]
  expect(slots.sort()).toEqual(['cpu0', 'cpu1'])
})

test('a dead child is one failed attempt; the worker goes on with a new child', async () => {
  await start()
  await send(cpu, unit('bad', 'crash'), unit('good', 'echo'))
  const { error, retryable } = await heard('error', 'bad')
  expect(error).toMatchObject({ code: 'SC_CHILD_DIED', detail: /exit code 3\.\nthe last words/ })
  expect(retryable).toBe(true)
  await heard('result', 'good')
})

test('an attempt past its deadline is told as such; the worker goes on with a new child', async () => {
  await start()
  await send(cpu, { ...unit('late', 'wait'), deadline: 200 }, unit('good', 'echo'))
  expect(await heard('error', 'late')).toMatchObject({ error: { code: 'SC_TASK_TIMEOUT' }, retryable: true })
  await heard('result', 'good')
})

test('an unknown task is refused without an attempt at it', async () => {
  await start()
  await send(cpu, unit('u', 'no.such'))
  expect(await heard('error', 'u')).toMatchObject({ error: { code: 'SC_TASK_UNKNOWN' }, retryable: false })
})

test('cancel stops a child that does not listen, and the slot is free', async () => {
  await start({ python: 'deaf' })
  await send(cpu, unit('u', 'wait'))
  await heard('started', 'u')
  await tell({ type: 'cancel', unitIds: ['other', 'u'] })
  expect(await heard('error', 'u')).toMatchObject({ error: { code: 'SC_CANCELLED' }, retryable: false })
  await until(isEmpty)
})

test('when another slot has taken the unit, the first says its result and leaves the job alone', async () => {
  await start()
  await send(cpu, unit('u', 'wait', { ms: 300 }))
  await heard('started', 'u')
  await redis.set('sc:q:cpu:u-1:lock', 'somebody else', 'PX', 60_000)
  await heard('result', 'u')
  await until(async () => (await presence()).slots?.[0]?.state === 'idle')
  expect(await redis.exists('sc:q:cpu:u-1')).toBe(1)
})

test('a lock that ran out with nobody else there is taken again', async () => {
  await start()
  await send(cpu, unit('u', 'wait', { ms: 2_000 }))
  await heard('started', 'u')
  await redis.del('sc:q:cpu:u-1:lock')
  await until(async () => (await redis.exists('sc:q:cpu:u-1:lock')) === 1)
  await heard('result', 'u')
  await until(isEmpty)
})

test('drain by word: takes nothing, until resume', async () => {
  await start()
  await until(async () => (await presence()).slots?.[0]?.state === 'idle')
  await tell({ type: 'drain' })
  await until(async () => (await presence()).status === 'draining')
  await send(cpu, unit('u', 'echo'))
  await until(async () => (await presence()).slots?.[0]?.state === 'draining')
  expect(await countEntries(cpu)).toEqual({ waiting: 1, active: 0 })
  await tell({ type: 'resume' })
  await heard('result', 'u')
})

test('stop gives back what runs: the master sends it anew', async () => {
  const first = await start({ name: 'first' })
  await send(cpu, unit('u', 'wait'))
  await heard('started', 'u', 'first')
  await first.stop()
  expect(await said('first')).toMatchObject([{ type: 'started' }, { type: 'returned', entry: 'u-1' }])
  expect(await countEntries(cpu)).toEqual({ waiting: 0, active: 0 })
  expect(await redis.exists(presenceKey('first'))).toBe(0)
})

test('after Redis was away the worker takes units again', async () => {
  await start()
  await send(cpu, unit('u1', 'wait', { ms: 1_000 }))
  await heard('started', 'u1')
  await server.kill()
  await until(() => redis.status !== 'ready')
  await server.start()
  await until(() => redis.status === 'ready')
  await heard('result', 'u1')
  await send(gpu, unit('u2', 'echo'))
  await heard('result', 'u2')
})

test('stop ends also while Redis is away', async () => {
  const worker = await start()
  await until(async () => (await presence()).slots?.[0]?.state === 'idle')
  const child = identityOf(Number((await presence()).libraries.pid))
  await server.kill()
  await until(() => redis.status !== 'ready')
  await worker.stop()
  expect(child && isRunning(child)).toBe(false)
  await server.start()
})

test('a slot whose child cannot start says why', { timeout: 20_000 }, async () => {
  await start({ python: 'dies_at_import' })
  await until(async () => (await presence()).slots?.[0]?.state === 'out-of-service')
  expect((await presence()).slots[0]?.reason).toMatch(/a_module_that_is_not_there/)
})

test('fetches input with its key, and the next input while a unit runs', async () => {
  const asked: string[] = []
  const master = createServer((request, response) => {
    asked.push(request.url as string)
    response.writeHead(request.headers.authorization === 'Bearer secret' ? 200 : 401).end(`bytes of ${request.url}`)
  }).listen(0, '127.0.0.1')
  await once(master, 'listening')
  await start({ masterUrl: `http://127.0.0.1:${(master.address() as AddressInfo).port}` })
  await send(
    cpu,
    { ...unit('u1', 'wait', { ms: 1_000 }), inputRef: 'files/j/1.wav' },
    { ...unit('u2', 'read'), inputRef: 'files/j/2.wav' }
  )
  await until(() => asked.length === 2)
  expect((await said()).map(message => `${message.type} ${message.unitId}`)).toEqual(['started u1'])
  expect((await heard('result', 'u2')).output).toBe('bytes of /blobs/files/j/2.wav')
  expect(asked).toEqual(['/blobs/files/j/1.wav', '/blobs/files/j/2.wav'])
  master.closeAllConnections()
  master.close()
})

test('progress, logs and presence', async () => {
  await start()
  await send(cpu, unit('u', 'tell'))
  await heard('result', 'u')
  const messages = await said()
  expect(messages.filter(message => message.type === 'progress')[0]).toMatchObject({ fraction: 0.1, partial: 0.1 })
  expect(messages.filter(message => message.type === 'log')[0]).toMatchObject({ level: 'warn', message: 'careful' })
  await until(async () => (await presence()).figures?.unitsDone === 1)
  expect(await presence()).toMatchObject({
    id: 'w',
    status: 'online',
    queues: ['gpu', 'cpu'],
    slots: [{ id: 'cpu0', device: 'cpu', unitId: null, reason: null }],
    libraries: { python: '3' },
    figures: { pythonRssBytes: 123 }
  })
})
