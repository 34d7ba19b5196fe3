import { afterAll, beforeEach, expect, test } from 'vitest'
import { queuePriority } from '../src/queue-order.ts'
import {
  addEntries,
  closeQueue,
  countEntries,
  extendLocks,
  giveBack,
  openQueue,
  peekNext,
  release,
  removeEntries,
  startStalledCheck,
  type TakenEntry,
  takeNext,
  type UnitQueue,
  waitForUnits
} from '../src/queues.ts'
import { closeRedis, connectRedis } from '../src/redis.ts'
import type { UnitPayload } from '../src/unit.ts'
import { startRedis } from './start-redis.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const blocking = connectRedis(server.url, { name: 'test', blocking: true })
const gpu = openQueue(redis, 'gpu')
const cpu = openQueue(redis, 'cpu')
afterAll(async () => {
  await closeQueue(gpu)
  await closeQueue(cpu)
  await closeRedis(blocking)
  await closeRedis(redis)
  await server.stop()
})
beforeEach(async () => void (await redis.flushall()))

const lockOf = (id: string): string => `sc:q:gpu:${id}:lock`

function unit(unitId: string): UnitPayload {
  return { unitId, jobId: 'j', task: 't', index: 0, inputRef: null, params: {}, deadline: 1_000 }
}

async function add(queue: UnitQueue, ids: string[], priority?: number): Promise<void> {
  const priorities = priority === undefined ? [] : ids.map(() => priority)
  await addEntries(queue, ids.map(unit), { jobIds: ids, priorities })
}

async function take(token = 'slot 1'): Promise<TakenEntry> {
  const taken = await takeNext([gpu, cpu], token)
  if (!taken) throw new Error('nothing to take')
  return taken
}

/** Takes and releases everything; what is looked at ahead is what is taken. */
async function takeAll(queues: UnitQueue[]): Promise<string[]> {
  const order: string[] = []
  for (;;) {
    const ahead = await peekNext(queues)
    const taken = await takeNext(queues, `t${order.length}`)
    expect(taken?.units[0]).toEqual(ahead)
    if (!taken) return order
    order.push(taken.units[0].unitId)
    await release(taken)
  }
}

test('of one priority, takes from the first queue that has a unit, in order, and leaves nothing', async () => {
  await add(cpu, ['c'], queuePriority(50, 0))
  await add(gpu, ['late'], queuePriority(50, 9))
  await add(gpu, ['soon', 'next'], queuePriority(50, 8))
  expect(await takeAll([gpu, cpu])).toEqual(['soon', 'next', 'late', 'c'])
  expect(await redis.keys('sc:q:*:{soon,next,late,c}*')).toEqual([])
})

test('a higher priority goes first, whatever its queue and rank; a unit without one before all', async () => {
  await add(gpu, ['g1'], queuePriority(0, 0))
  await add(gpu, ['g2'], queuePriority(51, 5))
  await add(cpu, ['c1'], queuePriority(52, 19_999))
  await add(cpu, ['c2'], queuePriority(51, 0))
  await add(cpu, ['c3'], queuePriority(0, 0))
  await add(cpu, ['c0'])
  expect(await takeAll([gpu, cpu])).toEqual(['c0', 'c1', 'g2', 'c2', 'g1', 'c3'])
})

test('a queue that another slot emptied meanwhile does not keep the next one waiting', async () => {
  await add(gpu, ['g'], queuePriority(100, 0))
  await add(cpu, ['c'], queuePriority(0, 0))
  const both = await Promise.all([takeNext([gpu, cpu], 'one'), takeNext([gpu, cpu], 'two')])
  expect(both.map(taken => taken?.units[0].unitId).sort()).toEqual(['c', 'g'])
})

test('a unit that is queued or active is not added again; one that a slot has is not removed', async () => {
  await add(gpu, ['u1', 'u2'])
  await take()
  await add(gpu, ['u1', 'u2'])
  expect(await countEntries(gpu)).toEqual({ waiting: 1, active: 1 })
  await removeEntries(gpu, ['u1', 'u2', 'never'])
  expect(await countEntries(gpu)).toEqual({ waiting: 0, active: 1 })
})

test('one read waits on the markers of all queues', async () => {
  expect(await waitForUnits(blocking, [gpu, cpu], 50)).toBeNull()
  const waiting = waitForUnits(blocking, [gpu, cpu], 5_000)
  await add(cpu, ['c'])
  expect((await waiting)?.name).toBe('cpu')
})

test('a lock that ran out is taken again, one of another slot is not', async () => {
  await add(gpu, ['u1'])
  const taken = await take()
  await redis.del(lockOf('u1'))
  expect(await extendLocks([taken])).toEqual([])
  expect(await redis.get(lockOf('u1'))).toBe('slot 1')
  await redis.set(lockOf('u1'), 'slot 2')
  expect(await extendLocks([taken])).toEqual([taken])
  await expect(release(taken)).rejects.toThrow(/lock/i)
})

test.each([undefined, 7])(
  'a unit of priority %s that is given back is the next, and wakes who waits',
  async priority => {
    await add(gpu, ['u1', 'u2'], priority)
    const taken = await take()
    while (await waitForUnits(blocking, [gpu], 20));
    const waiting = waitForUnits(blocking, [gpu, cpu], 5_000)
    await giveBack(taken)
    expect((await waiting)?.name).toBe('gpu')
    expect((await take()).units[0].unitId).toBe('u1')
  }
)

test('a unit whose slot is gone waits again, however often', async () => {
  await add(gpu, ['u1'])
  const stop = startStalledCheck(gpu)
  for (const token of ['slot 1', 'slot 2', 'slot 3']) {
    expect((await take(token)).units[0].unitId).toBe('u1')
    await redis.del(lockOf('u1'))
    while ((await countEntries(gpu)).waiting === 0) await new Promise(resolve => setTimeout(resolve, 50))
  }
  await stop()
})
