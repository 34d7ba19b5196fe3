import { createLog } from '@sc/shared/log.ts'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createOpenQueues, type OpenQueues } from '../../src/queues/open-queues.ts'
import { addEntries, release, takeEntry } from '../../src/queues/queues.ts'
import { type ClusterOfOne, startClusterOfOne } from '../jobs/cluster-of-one.ts'

const IDLE_MS = 300
const WAIT = { timeout: 8_000, interval: 20 }

let world: ClusterOfOne
let queues: OpenQueues
const slots = new Map<string, number>()

beforeAll(async () => {
  world = await startClusterOfOne()
  queues = createOpenQueues({
    ...world,
    log: createLog('test', 'silent'),
    onWaiting: () => {},
    slotsOf: name => slots.get(name) ?? 0,
    takenFrom: () => [],
    idleMs: IDLE_MS
  })
})
afterAll(async () => {
  await queues?.close()
  await world?.release()
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
    expect(await world.redis.keys('sc:q:cpu+x:*')).toEqual([])
  }
})

test('a queue stays open while it has a unit, or a slot serves it', async () => {
  const jobId = await world.insertJob({})
  const unit = { id: `${jobId}.u.0`, job_id: jobId, task: 'u', index: 0, params: '{}', deadline_ms: 1_000 }
  await world.db
    .insertInto('units')
    .values({ ...unit, queue: 'cpu+unit' })
    .execute()
  slots.set('cpu+slot', 1)
  for (const name of ['cpu+unit', 'cpu+slot']) queues.get(name)
  await pause()
  expect(queues.names()).toEqual(expect.arrayContaining(['cpu+unit', 'cpu+slot']))
  await world.db.updateTable('units').set({ status: 'DONE' }).execute()
  slots.clear()
  await closed('cpu+unit')
  await closed('cpu+slot')
})

test('many names one after the other leave no listeners at the connection', async () => {
  const count = (): number =>
    ['close', 'error', 'ready', 'end'].reduce((sum, on) => sum + world.redis.listenerCount(on), 0)
  const before = count()
  for (let n = 0; n < 50; n++) queues.get(`cpu+n${n}`)
  await vi.waitFor(() => expect(queues.names()).toEqual([]), WAIT)
  expect(count()).toBe(before)
})
