import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { queuePriority } from '../../src/queues/queue-order.ts'
import {
  addEntries,
  closeQueue,
  countEntries,
  extendLocks,
  findTaken,
  giveBack,
  headBands,
  openQueue,
  peekEntries,
  release,
  removeEntries,
  startStalledChecks,
  type TakenEntry,
  takeEntry,
  type UnitQueue
} from '../../src/queues/queues.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const gpu = openQueue(redis, 'gpu')
const cpu = openQueue(redis, 'cpu')
afterAll(async () => {
  await closeQueue(gpu)
  await closeQueue(cpu)
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

async function take(token = 'worker 1'): Promise<TakenEntry> {
  const taken = await takeEntry(gpu, token)
  if (!taken) throw new Error('nothing to take')
  return taken
}

test('takes in order, as it is looked at ahead, and leaves nothing', async () => {
  await add(gpu, ['late'], queuePriority(50, 9))
  await add(gpu, ['soon', 'next'], queuePriority(50, 8))
  await add(gpu, ['first'])
  const ahead = (await peekEntries(gpu, 3)).map(({ unitId }) => unitId)
  const order: string[] = []
  for (let taken = await takeEntry(gpu, 'w'); taken; taken = await takeEntry(gpu, 'w')) {
    order.push(taken.units[0].unitId)
    await release(taken)
  }
  expect(order).toEqual(['first', 'soon', 'next', 'late'])
  expect(ahead).toEqual(order.slice(0, 3))
  expect(await redis.keys('sc:q:*:{first,soon,next,late}*')).toEqual([])
})

test('the bands of what goes first, of each queue that has something', async () => {
  expect(await headBands(redis, ['gpu', 'cpu'], 4)).toEqual(new Map())
  await add(gpu, ['g1'], queuePriority(0, 7))
  await add(gpu, ['g2', 'g3'], queuePriority(51, 19_999))
  expect(await headBands(redis, ['gpu', 'cpu'], 2)).toEqual(new Map([['gpu', [49, 49]]]))
  await add(cpu, ['c'])
  expect(await headBands(redis, ['gpu', 'cpu'], 4)).toEqual(
    new Map([
      ['gpu', [49, 49, 100]],
      ['cpu', [0]]
    ])
  )
})

test('a unit that is queued or active is not added again; one that is taken is not removed', async () => {
  await add(gpu, ['u1', 'u2'])
  await take()
  await add(gpu, ['u1', 'u2'])
  expect(await countEntries(gpu)).toEqual({ waiting: 1, active: 1 })
  await removeEntries(gpu, ['u1', 'u2', 'never'])
  expect(await countEntries(gpu)).toEqual({ waiting: 0, active: 1 })
})

test('a lock that ran out is taken again, one of another is not', async () => {
  await add(gpu, ['u1'])
  const taken = await take()
  await redis.del(lockOf('u1'))
  expect(await extendLocks([taken])).toEqual([])
  expect(await redis.get(lockOf('u1'))).toBe('worker 1')
  await redis.set(lockOf('u1'), 'worker 2')
  expect(await extendLocks([taken])).toEqual([taken])
  await expect(release(taken)).rejects.toThrow(/lock/i)
})

test('an entry that was taken is found again by another process, and released', async () => {
  await add(gpu, ['u1'])
  await take()
  const found = await findTaken(gpu, 'u1', 'worker 1')
  expect(found?.units[0].unitId).toBe('u1')
  await release(found as TakenEntry)
  expect(await countEntries(gpu)).toEqual({ waiting: 0, active: 0 })
  expect(await findTaken(gpu, 'u1', 'worker 1')).toBeUndefined()
})

test.each([undefined, 7])('a unit of priority %s that is given back is the next', async priority => {
  await add(gpu, ['u1', 'u2'], priority)
  await giveBack(await take())
  expect(await take('worker 2')).toMatchObject({ units: [{ unitId: 'u1' }], isAgain: true })
})

test('a unit whose master is gone waits again, however often', async () => {
  await add(gpu, ['u1'])
  const stop = startStalledChecks(redis, () => [gpu])
  for (const token of ['worker 1', 'worker 2', 'worker 3']) {
    expect((await take(token)).units[0].unitId).toBe('u1')
    await redis.del(lockOf('u1'))
    while ((await countEntries(gpu)).waiting === 0) await new Promise(resolve => setTimeout(resolve, 50))
  }
  await stop()
})
