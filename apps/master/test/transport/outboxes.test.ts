import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import type { Said } from '../../src/jobs/accept-batch.ts'
import type { TakenEntry } from '../../src/queues/queues.ts'
import { LOST_MS } from '../../src/transport/link.ts'
import { createLinks } from '../../src/transport/links.ts'
import { type Outboxes, startOutboxes } from '../../src/transport/outboxes.ts'
import { createTickets } from '../../src/transport/tickets.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
afterAll(async () => {
  await closeRedis(redis)
  await server.stop()
})

let outboxes: Outboxes
afterEach(async () => {
  await outboxes.stop()
  await redis.flushall()
})

const WORKERS = ['w-1', 'w-2', 'w-3', 'w-4', 'w-5', 'w-6']

let hasRoom = true

/** Reads the outboxes of workers, each message of which is applied by `apply`. */
function read(apply: (reported: Said[]) => Promise<void>) {
  const links = createLinks()
  const lost: string[] = []
  const refused: string[] = []
  const costs: number[] = []
  outboxes = startOutboxes({
    redis,
    blocking: connectRedis(server.url, { name: 'outboxes', blocking: true }),
    links,
    log: createLog('test', 'silent'),
    tickets: createTickets(Buffer.from('secret')),
    apply: async reported => {
      await apply(reported)
      return []
    },
    mayStore: () => hasRoom,
    onHello: () => {},
    onWants: () => {},
    onUnknown: () => {},
    onLost: (_, entries) => void lost.push(...entries.map(({ entry }) => entry)),
    onOver: () => {},
    onBack: () => {},
    onRefused: (workerId, reason, gravity, cost) => {
      refused.push(`${workerId} ${gravity}: ${reason}`)
      costs.push(cost)
    }
  })
  for (const id of WORKERS) {
    links.add(id)
    outboxes.follow(id)
  }
  return { links, refused, costs, lost }
}

const write = (workerId: string, ...classes: string[]) =>
  redis.xadd(
    outboxKey(workerId),
    '*',
    'm',
    JSON.stringify(classes.map(one => ({ type: 'registered', tasks: [], classes: [one] })))
  )
const classOf = ({ message }: Said): string => (message.type === 'registered' ? (message.classes[0] ?? '') : '')
const WAIT = { timeout: 8_000, interval: 10 }
const left = async () => (await redis.xlen(outboxKey('w-1'))) + (await redis.xlen(outboxKey('w-2')))

test('what cannot be applied, whatever the reason, is dropped and held against its author; the others go on', async () => {
  const applied: string[] = []
  const { refused } = read(async reported => {
    if (reported.map(classOf).includes('bad')) throw new RangeError('Maximum call stack size exceeded')
    applied.push(...reported.map(classOf))
  })
  await write('w-1', 'bad')
  for (let n = 0; n < 5; n++) await write('w-2', `good ${n}`)
  await vi.waitFor(async () => expect(await left()).toBe(0), WAIT)
  // Of registrations that come together the last one counts.
  expect(applied.at(-1)).toBe('good 4')
  expect(refused).toEqual(['w-1 grave: what it reported could not be applied'])
  await write('w-1', 'better')
  await vi.waitFor(() => expect(applied).toContain('better'), WAIT)
})

test('what workers wrote waits while the disk has no room for it, and is applied once there is some', async () => {
  const applied: string[] = []
  hasRoom = false
  read(async reported => void applied.push(...reported.map(classOf)))
  await write('w-1', 'one')
  await vi.waitFor(() => expect(outboxes.isHeldUp()).toBe(true), WAIT)
  expect(applied).toEqual([])
  expect(await redis.xlen(outboxKey('w-1'))).toBe(1)
  expect(outboxes.findings()).toEqual([expect.objectContaining({ found: expect.stringContaining('w-1 1 MB') })])
  hasRoom = true
  await vi.waitFor(() => expect(applied).toEqual(['one']), WAIT)
  await vi.waitFor(() => expect(outboxes.isHeldUp()).toBe(false), WAIT)
  expect(outboxes.findings()).toEqual([])
})

test('what a worker wrote is not applied any more once it is gone', async () => {
  const begun: string[] = []
  const blocked = Promise.withResolvers<void>()
  const { links } = read(async reported => {
    begun.push(...reported.map(classOf))
    await blocked.promise
  })
  await write('w-2', 'first')
  await vi.waitFor(() => expect(begun).toEqual(['first']), WAIT)
  const lastReadMs = links.of('w-1')?.readMs
  await write('w-1', 'late')
  await vi.waitFor(() => expect(links.of('w-1')?.readMs).not.toBe(lastReadMs), WAIT)
  outboxes.leave('w-1')
  blocked.resolve()
  await write('w-2', 'second')
  await vi.waitFor(() => expect(begun).toContain('second'), WAIT)
  expect(begun).not.toContain('late')
})

test('who registers ever anew is read less and less, and holds up nobody else', async () => {
  const applied: string[] = []
  read(async reported => void applied.push(...reported.map(classOf)))
  for (let n = 0; n < 80; n++) await write('w-1', `again ${n}`)
  await new Promise(resolve => setTimeout(resolve, 1_000))
  await write('w-2', 'first')
  await vi.waitFor(() => expect(applied).toContain('first'), 1_000)
  expect(await redis.xlen(outboxKey('w-1'))).toBeGreaterThan(40)
  // In the end all of them are.
  expect(applied.filter(name => name.startsWith('again')).length).toBeGreaterThan(0)
})

/** A result that no ticket proves. */
const inVain = (length: number) =>
  JSON.stringify([
    {
      ...{ type: 'result', unitId: 'x', attemptId: 'a', ticket: 'x', slot: 's', output: 'x'.repeat(length) },
      timings: { waited: 0, fetched: 0, ran: 1, reported: 0 }
    }
  ])

test('what was read in vain says what it cost, once', async () => {
  const { refused, costs } = read(async () => {})
  await redis.xadd(outboxKey('w-1'), '*', 'm', inVain(500_000))
  await redis.xadd(outboxKey('w-2'), '*', 'm', JSON.stringify(['x'.repeat(400_000), 1, 2]))
  await vi.waitFor(() => expect(refused).toHaveLength(4), WAIT)
  expect(costs.map(cost => Math.round(cost / 100_000)).sort()).toEqual([0, 0, 4, 5])
})

test('all who write without end are read at the pace of one, each its share; who writes little, at once', async () => {
  const lengths = new Map<string, number>()
  const applied: string[] = []
  const { refused } = read(async reported => void applied.push(...reported.map(classOf)))
  const [quiet = '', ...greedy] = WORKERS
  const text = inVain(900_000)
  for (const id of greedy) for (let n = 0; n < 24; n++) await redis.xadd(outboxKey(id), '*', 'm', text)
  // The first look at each of them was not in turn.
  await vi.waitFor(() => expect(refused.length).toBeGreaterThan(8 * greedy.length), WAIT)
  const before = refused.length
  const startMs = performance.now()
  let longestMs = 0
  for (let n = 0; performance.now() - startMs < 4_000; n++) {
    const sentMs = performance.now()
    await write(quiet, `now ${n}`)
    await vi.waitFor(() => expect(applied).toContain(`now ${n}`), { timeout: 8_000, interval: 5 })
    longestMs = Math.max(longestMs, performance.now() - sentMs)
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  const seconds = (performance.now() - startMs) / 1_000
  expect(longestMs).toBeLessThan(1_000)
  expect((refused.length - before) / seconds).toBeLessThan(13)
  for (const line of refused.slice(before)) lengths.set(line.slice(0, 3), (lengths.get(line.slice(0, 3)) ?? 0) + 1)
  const counts = greedy.map(id => lengths.get(id) ?? 0)
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2)
}, 40_000)

test('a master that stood still takes no unit for lost whose worker went on writing, and then one whose worker stopped', async () => {
  const { links, lost } = read(async () => {})
  const held = { entry: 'e', taken: {} as TakenEntry, deadlineMs: Number.MAX_SAFE_INTEGER, unitIds: ['u'] }
  links.of('w-1')?.give('a', null, held, performance.now())
  const holding = [{ slot: 'a', entry: 'e', queue: 'cpu', ticket: 't' }]
  const state = JSON.stringify([{ type: 'state', instance: 'i', holding, wants: [] }])
  const writer = new Worker(new URL('./write-signs.ts', import.meta.url), {
    workerData: { url: server.url, key: outboxKey('w-1'), text: state }
  })
  await once(writer, 'message')
  for (let n = 0; n < 2; n++) {
    const goOnMs = performance.now() + LOST_MS + 1_500
    while (performance.now() < goOnMs);
    await new Promise(resolve => setTimeout(resolve, 1_000))
  }
  expect(lost).toEqual([])
  await writer.terminate()
  await vi.waitFor(() => expect(lost).toEqual(['e']), WAIT)
}, 30_000)
