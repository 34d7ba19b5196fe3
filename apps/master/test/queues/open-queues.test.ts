import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { afterAll, expect, test, vi } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { createOpenQueues } from '../../src/queues/open-queues.ts'
import { addEntries, release, takeEntry } from '../../src/queues/queues.ts'

const IDLE_MS = 300
const WAIT = { timeout: 8_000, interval: 20 }

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const slots = new Map<string, number>()
const held = new Map<string, string[]>()
const queues = createOpenQueues({
  redis,
  log: createLog('test', 'silent'),
  onWaiting: () => {},
  slotsOf: name => slots.get(name) ?? 0,
  takenFrom: name => held.get(name) ?? [],
  idleMs: IDLE_MS
})
afterAll(async () => {
  await queues.close()
  await closeRedis(redis)
  await server.stop()
})

const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 4 * IDLE_MS))
const closed = (name: string) => vi.waitFor(() => expect(queues.names()).not.toContain(name), WAIT)

async function add(name: string, id: string): Promise<void> {
  const unit = { unitId: id, jobId: 'j', task: 't', index: 0, inputRef: null, params: {}, deadline: 1_000 }
  await addEntries(queues.get(name), [unit], { jobIds: [id] })
}

test('a queue is closed once no entry of it waits or is taken, leaves nothing, and opens again', async () => {
  for (const id of ['first', 'again']) {
    await add('cpu+x', id)
    await pause()
    expect(queues.names()).toContain('cpu+x')
    const taken = await takeEntry(queues.get('cpu+x'), 'w')
    expect(taken?.jobId).toBe(id)
    await pause()
    expect(queues.names()).toContain('cpu+x')
    if (taken) await release(taken)
    await closed('cpu+x')
    expect(await redis.keys('sc:q:cpu+x:*')).toEqual([])
  }
})

test('a queue stays open while a slot serves it, or a worker holds an entry that Redis lost', async () => {
  slots.set('cpu+slot', 1)
  held.set('cpu+held', ['e1'])
  for (const name of ['cpu+slot', 'cpu+held']) queues.get(name)
  await pause()
  expect(queues.names()).toEqual(expect.arrayContaining(['cpu+slot', 'cpu+held']))
  slots.clear()
  held.clear()
  await closed('cpu+slot')
  await closed('cpu+held')
})

test('many names one after the other leave no listeners at the connection', async () => {
  const count = (): number => ['close', 'error', 'ready', 'end'].reduce((sum, on) => sum + redis.listenerCount(on), 0)
  const before = count()
  for (let n = 0; n < 50; n++) queues.get(`cpu+n${n}`)
  await vi.waitFor(() => expect(queues.names()).toEqual([]), WAIT)
  expect(count()).toBe(before)
})
