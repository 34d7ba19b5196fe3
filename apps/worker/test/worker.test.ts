import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ScError } from '@sc/shared/errors.ts'
import type { UnitsMessage } from '@sc/shared/inbox-message.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { inboxKey, outboxKey, PROTOCOL_VERSION, presenceKey } from '@sc/shared/redis-keys.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { afterAll, afterEach, expect, test } from 'vitest'
import { readKnownMaster } from '../src/messaging/known-master.ts'
import type { WorkerDeps } from '../src/worker.ts'
import { fixture, until } from './fixtures/children.ts'
import { openCluster, unit } from './fixtures/open-cluster.ts'

const cluster = await openCluster()
const { server, redis, master, send, tell, said, heard, written, presence, seen } = cluster
afterAll(cluster.close)
afterEach(cluster.reset)

interface Wishes {
  python?: string
  slots?: number
  queues?: string[]
  name?: string
  masterUrl?: string
}

function start(wishes: Wishes = {}, more: Partial<WorkerDeps> = {}) {
  const { python = 'well_behaved', slots = 1, queues = ['gpu', 'cpu'], name = 'w', masterUrl } = wishes
  return cluster.start(
    {},
    {
      name,
      identity: { workerId: name, key: 'secret' },
      planner: () => Array.from({ length: slots }, (_, at) => ({ id: `cpu${at}`, device: 'cpu', classes: [], queues })),
      python: fixture(python),
      masterUrl,
      ...more
    }
  )
}

const idle = () => seen(({ slots }) => slots.length > 0 && slots.every(slot => slot.state === 'idle'))
const lastState = async (workerId = 'w') => {
  const state = (await written(workerId)).findLast(message => message.type === 'state')
  return state?.type === 'state' ? state : undefined
}
/** Until the worker says that it holds these entries. */
const holds = (...entries: string[]) =>
  until(async () => (await lastState())?.holding.map(({ entry }) => entry).join() === entries.join())
/** The unit as an entry for this want, as a master writes it. */
const given = (want: number, one: UnitPayload, slot = 'cpu0'): UnitsMessage => ({
  type: 'units',
  slot,
  want,
  entry: `${one.unitId}-1`,
  queue: 'cpu',
  ticket: 't',
  isAgain: false,
  first: one,
  more: [],
  tickets: [`ticket of ${one.unitId}`]
})

test('asks for its queues in order, runs one at a time, and holds nothing after', async () => {
  send('cpu', [unit('c1', 'echo'), unit('c2', 'echo')])
  send('gpu', [unit('g1', 'wait', { ms: 100 }), unit('g2', 'echo', { x: 1 })])
  await start()
  await heard('result', 'c2')
  const order = (await said()).filter(m => m.type === 'started' || m.type === 'result')
  expect(order.map(m => `${m.type} ${m.unitId}`)).toEqual(
    ['g1', 'g2', 'c1', 'c2'].flatMap(id => [`started ${id}`, `result ${id}`])
  )
  expect(await heard('result', 'g2')).toMatchObject({ slot: 'cpu0', output: { x: 1 }, ticket: 'ticket of g2' })
  await until(() => master.wants().length === 1)
  expect(master.wants()).toMatchObject([{ slot: 'cpu0', want: 5, queues: ['gpu', 'cpu'] }])
  await holds()
  // What was read is taken away.
  await until(async () => (await redis.llen(inboxKey('w'))) === 0)
})

test('a field `files` of the params reaches no task: it would be read as paths of this machine', async () => {
  send('cpu', [unit('u', 'echo', { text: 'x', files: { input: '/etc/passwd' } })])
  await start()
  expect((await heard('result', 'u')).output).toEqual({ text: 'x' })
})

test('units that come while all slots wait start at once, each on its own slot', async () => {
  await start({ slots: 2, queues: ['cpu'] })
  await until(() => master.wants().length === 2)
  send('cpu', [unit('a', 'wait'), unit('b', 'wait')])
  const slots = [(await heard('started', 'a')).slot, (await heard('started', 'b')).slot]
  expect(slots.sort()).toEqual(['cpu0', 'cpu1'])
})

test('a dead child is one failed attempt; the worker goes on with a new child', async () => {
  await start()
  send('cpu', [unit('bad', 'crash'), unit('good', 'echo')])
  const { error, retryable } = await heard('error', 'bad')
  expect(error).toMatchObject({ code: 'SC_CHILD_DIED', detail: /exit code 3\.\nthe last words/ })
  expect(retryable).toBe(true)
  await heard('result', 'good')
})

test('a child that ends while its slot waits is replaced, and costs no unit an attempt', async () => {
  await start()
  const first = await idle()
  process.kill(Number(first.libraries.pid), 'SIGKILL')
  await seen(({ libraries, slots }) => libraries.pid !== first.libraries.pid && slots[0]?.state === 'idle')
  send('cpu', [unit('u', 'echo')])
  await heard('result', 'u')
  expect((await said()).map(({ type }) => type)).toEqual(['started', 'result'])
})

test('an attempt past its deadline is told as such; the worker goes on with a new child', async () => {
  await start()
  send('cpu', [{ ...unit('late', 'wait'), deadline: 200 }, unit('good', 'echo')])
  expect(await heard('error', 'late')).toMatchObject({ error: { code: 'SC_TASK_TIMEOUT' }, retryable: true })
  await heard('result', 'good')
})

test('an unknown task is refused without an attempt at it', async () => {
  await start()
  send('cpu', [unit('u', 'no.such')])
  expect(await heard('error', 'u')).toMatchObject({ error: { code: 'SC_TASK_UNKNOWN' }, retryable: false })
})

test('cancel stops a child that does not listen, and the slot is free', async () => {
  await start({ python: 'deaf' })
  send('cpu', [unit('u', 'wait')])
  await heard('started', 'u')
  await tell({ type: 'cancel', unitIds: ['other', 'u'] })
  expect(await heard('error', 'u')).toMatchObject({ error: { code: 'SC_CANCELLED' }, retryable: false })
  await until(() => master.wants().length === 1)
  await holds()
})

test('an entry for a want that does not stand any more goes back at once', async () => {
  await start({ slots: 2 })
  send('cpu', [unit('runs', 'wait')])
  const { slot } = await heard('started', 'runs')
  // The same want once more, as by a second master; and one that the slot never had.
  await tell(given(1, unit('again', 'echo'), slot))
  await tell(given(99, unit('never', 'echo'), slot))
  await tell(given(1, unit('nobody', 'echo'), 'gpu7'))
  for (const unitId of ['again', 'never', 'nobody']) {
    const returned = await heard('returned', unitId)
    expect(returned).toMatchObject({ entry: `${unitId}-1`, ticket: `ticket of ${unitId}`, hasBegun: false })
  }
  await holds('runs-1')
  const ofOthers = (await said()).filter(({ unitId }) => unitId !== 'runs')
  expect(ofOthers.map(({ type }) => type)).toEqual(['returned', 'returned', 'returned'])
})

test('an entry that comes twice while it runs is run once', async () => {
  await start()
  await until(() => master.wants().length === 1)
  const message = given(1, unit('u', 'wait', { ms: 500 }))
  await master.tell('w', message, message)
  await heard('started', 'u')
  await tell(message)
  await heard('result', 'u')
  await until(() => master.wants()[0]?.want === 2)
  send('cpu', [unit('next', 'echo')])
  await heard('result', 'next')
  expect((await said()).map(({ type, unitId }) => `${type} ${unitId}`)).toEqual([
    ...['started u', 'result u'],
    ...['started next', 'result next']
  ])
})

test('what the inbox has for an earlier process of the worker is not run, nor is its welcome taken', async () => {
  const welcome = { type: 'welcome', protocol: PROTOCOL_VERSION, version: '0', draining: true } as const
  const address = { httpUrl: 'http://of-before', localUrl: 'http://of-before' }
  const workerDir = mkdtempSync(join(tmpdir(), 'sc-worker-'))
  await master.tell('w', { ...welcome, ...address, instance: null }, given(1, unit('stale', 'echo')), { type: 'drain' })
  await master.tell('w', { ...welcome, ...address, instance: 'of another process' }, given(1, unit('staler', 'echo')))
  await start({}, { workerDir })
  send('cpu', [unit('u', 'echo')])
  await heard('result', 'u')
  expect((await said()).map(({ unitId }) => unitId)).toEqual(['u', 'u'])
  expect(readKnownMaster(workerDir)).toEqual({
    protocol: PROTOCOL_VERSION,
    version: '0.0.0',
    httpUrl: master.named.httpUrl
  })
  expect((await presence()).status).toBe('online')
})

test('while it holds something it says so every second, with the ticket of the entry', async () => {
  await start()
  send('cpu', [unit('u', 'wait', { ms: 6_000 })])
  await heard('result', 'u')
  const all = await written()
  const [from, to] = (['started', 'result'] as const).map(type => all.findIndex(message => message.type === type))
  const states = all.slice(from, to).flatMap(message => (message.type === 'state' ? [message] : []))
  expect(states.length).toBeGreaterThanOrEqual(4)
  for (const state of states) {
    expect(state.holding).toEqual([{ entry: 'u-1', queue: 'cpu', slot: 'cpu0', ticket: 't' }])
    expect(state.wants).toEqual([])
  }
  await holds()
  await until(async () => (await lastState())?.wants.length === 1)
})

test('drain by word: takes nothing, until resume', async () => {
  await start()
  await idle()
  await tell({ type: 'drain' })
  await seen(({ status }) => status === 'draining')
  // The want that stood does so no more.
  await until(() => master.wants().length === 0)
  send('cpu', [unit('u', 'echo')])
  await seen(({ slots }) => slots[0]?.state === 'draining')
  expect(master.waiting('cpu')).toBe(1)
  await tell({ type: 'resume' })
  await heard('result', 'u')
})

test('stop gives back what runs: the master sends it anew', async () => {
  const first = await start({ name: 'first' })
  send('cpu', [unit('u', 'wait')])
  await heard('started', 'u', 'first')
  await until(async () => (await redis.exists(presenceKey('first'))) === 1)
  await first.stop()
  expect(await said('first')).toMatchObject([
    { type: 'started' },
    { type: 'returned', entry: 'u-1', ticket: 'ticket of u', hasBegun: true }
  ])
  expect(master.waiting('cpu')).toBe(0)
  await until(async () => (await redis.exists(presenceKey('first'))) === 0)
})

test('while Redis is away a unit goes on, and after it the worker takes units again', async () => {
  await start({ slots: 2 })
  await until(() => master.wants().length === 2)
  send('cpu', [unit('u1', 'wait', { ms: 1_000 })])
  await heard('started', 'u1')
  const instanceOf = async () => (await lastState())?.instance
  await until(async () => (await instanceOf()) !== undefined)
  const before = await instanceOf()
  await server.kill()
  await until(() => redis.status !== 'ready')
  await server.start()
  await until(() => redis.status === 'ready')
  await heard('result', 'u1')
  send('gpu', [unit('u2', 'echo')])
  await heard('result', 'u2')
  // It is the same process, and its wants stood all the while.
  expect(await instanceOf()).toBe(before)
  const wants = (await written()).flatMap(message =>
    message.type === 'want' ? [`${message.slot} ${message.want}`] : []
  )
  expect(new Set(wants).size).toBe(wants.length)
})

test('a Redis that was emptied learns from the next state what stands and what is held', async () => {
  await start({ slots: 2, queues: ['cpu'] })
  send('cpu', [unit('u', 'wait')])
  const { slot } = await heard('started', 'u')
  await redis.flushall()
  master.forget()
  await holds('u-1')
  await until(() => master.wants().length === 1)
  expect(master.wants()[0]?.slot).not.toBe(slot)
  send('cpu', [unit('after', 'echo')])
  await heard('result', 'after')
})

test('stop ends also while Redis is away', async () => {
  const worker = await start()
  const child = identityOf(Number((await idle()).libraries.pid))
  await server.kill()
  await until(() => redis.status !== 'ready')
  await worker.stop()
  expect(child && isRunning(child)).toBe(false)
  await server.start()
  await until(() => redis.status === 'ready')
})

test('a slot whose child cannot start says why', { timeout: 20_000 }, async () => {
  await start({ python: 'dies_at_import' })
  const { slots } = await seen(({ slots }) => slots[0]?.state === 'out-of-service')
  expect(slots[0]?.reason).toMatch(/a_module_that_is_not_there/)
})

/** The blob route of a master. */
async function serveBlobs() {
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(request.url as string)
    response.writeHead(request.headers.authorization === 'Bearer secret' ? 200 : 401).end(`bytes of ${request.url}`)
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const stop = (): void => {
    http.closeAllConnections()
    http.close()
  }
  return { asked, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, stop }
}

test('fetches input with its key, and while a unit runs what comes next', async () => {
  const { asked, url, stop } = await serveBlobs()
  await start({ masterUrl: url })
  send('cpu', [{ ...unit('u1', 'wait', { ms: 2_000 }), inputRef: 'files/j/1.wav' }])
  await heard('started', 'u1')
  await tell({ type: 'prefetch', units: [{ inputRef: 'files/j/2.wav', params: {} }] })
  await until(() => asked.length === 2)
  expect((await said()).map(message => `${message.type} ${message.unitId}`)).toEqual(['started u1'])
  send('cpu', [{ ...unit('u2', 'read'), inputRef: 'files/j/2.wav' }])
  expect((await heard('result', 'u2')).output).toBe('bytes of /blobs/files/j/2.wav')
  expect(asked).toEqual(['/blobs/files/j/1.wav', '/blobs/files/j/2.wav'])
  stop()
})

test('the address of the blobs comes with the welcome, and is another with a later one', async () => {
  const [before, after] = [await serveBlobs(), await serveBlobs()]
  const workerDir = mkdtempSync(join(tmpdir(), 'sc-worker-'))
  master.named.httpUrl = before.url
  await start({}, { workerDir })
  send('cpu', [{ ...unit('u1', 'read'), inputRef: 'files/j/1.wav' }])
  await heard('result', 'u1')
  const { protocol, version } = master.named
  const address = { httpUrl: after.url, localUrl: after.url }
  await tell({ type: 'welcome', instance: null, protocol, version, draining: false, ...address })
  send('cpu', [{ ...unit('u2', 'read'), inputRef: 'files/j/2.wav' }])
  await heard('result', 'u2')
  expect([before.asked, after.asked]).toEqual([['/blobs/files/j/1.wav'], ['/blobs/files/j/2.wav']])
  // The doctor looks there.
  expect(readKnownMaster(workerDir)).toEqual({ protocol, version, httpUrl: after.url })
  before.stop()
  after.stop()
})

test('a master of another protocol, and the word that it is revoked, reach who runs the worker', async () => {
  const errors: ScError[] = []
  let revoked = false
  master.named.protocol = PROTOCOL_VERSION + 1
  await start({}, { onOtherProtocol: error => void errors.push(error), onRevoked: () => (revoked = true) })
  await until(() => errors.length > 0)
  expect(errors[0]).toMatchObject({ code: 'SC_PROTOCOL_VERSION', message: /update this worker/ })
  expect(revoked).toBe(false)
  await tell({ type: 'revoked' })
  await until(() => revoked)
})

test('a worker needs no more rights than to pop from its inbox, add to its outbox and set its presence', async () => {
  const connection = ['+auth', '+quit', '+client|id']
  const streams = [`(+blmpop %RW~${inboxKey('w')})`, `(+xadd %W~${outboxKey('w')})`]
  const words = ['reset', 'on', '>pw', '-@all', ...connection, ...streams, `(+set %W~${presenceKey('w')})`]
  await redis.call('ACL', 'SETUSER', 'w', ...words)
  const brokerUrl = server.url.replace('redis://', 'redis://w:pw@')
  const login = connectRedis(brokerUrl, { name: 'test', restricted: true })
  await start({}, { brokerUrl, redis: login })
  send('cpu', [unit('u', 'echo')])
  await heard('result', 'u')
  await idle()
  await until(async () => (await redis.llen(inboxKey('w'))) === 0)
  await cluster.stopWorkers()
  await until(async () => (await redis.exists(presenceKey('w'))) === 0)
  const refused = (await redis.call('ACL', 'LOG')) as unknown[]
  expect(refused).toEqual([])
  await closeRedis(login)
  await redis.call('ACL', 'DELUSER', 'w')
})

test('progress, logs and presence', async () => {
  await start()
  send('cpu', [unit('u', 'tell')])
  await heard('result', 'u')
  const messages = await said()
  expect(messages.filter(message => message.type === 'progress')[0]).toMatchObject({ fraction: 0.1, partial: 0.1 })
  expect(messages.filter(message => message.type === 'log')[0]).toMatchObject({ level: 'warn', message: 'careful' })
  expect(await seen(({ figures }) => figures?.unitsDone === 1)).toMatchObject({
    id: 'w',
    status: 'online',
    queues: ['gpu', 'cpu'],
    slots: [{ id: 'cpu0', device: 'cpu', unitId: null, reason: null }],
    libraries: { python: '3' },
    figures: { pythonRssBytes: 123 }
  })
})
