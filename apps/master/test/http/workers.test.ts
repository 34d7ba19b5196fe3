import { DRAINED_REASON, PRESENCE_EVERY_MS, type Presence } from '@sc/shared/presence.ts'
import { inboxKey, presenceKey } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Scope } from '../../src/database/schema.ts'
import { PRESENCE, registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'
import { insertChunk, insertTranscription } from './transcription-rows.ts'

const card = (index: number, vramTotalGb: number) => ({
  index,
  uuid: `GPU-${index}`,
  name: 'a card',
  vramTotalGb,
  vramUsedGb: 1.5,
  utilization: null,
  temperatureC: null,
  powerW: null,
  driver: '550',
  computeCapability: null
})
const slot = (id: string, device: string, state: 'idle' | 'running') => ({
  id,
  device,
  state,
  unitId: null,
  reason: null
})

let one: TestApp
/** Types of the messages in a worker's inbox. */
const ordersOf = async (workerId: string): Promise<string[]> => {
  const entries = await one.deps.redis.lrange(inboxKey(workerId), 0, -1)
  return entries.flatMap(text => JSON.parse(text).map(({ type }: { type: string }) => type))
}
beforeAll(async () => {
  one = await startApp()
  await registerTasks(one, 'desk-1', [WORD_COUNT], {
    queues: ['gpu.vram6', 'gpu', 'cpu+word-count', 'cpu'],
    gpus: [card(0, 6), card(1, 4)],
    slots: [slot('gpu0', 'GPU-0', 'running'), slot('gpu1', 'GPU-1', 'idle'), slot('cpu0', 'cpu', 'idle')]
  })
  await registerTasks(one, 'desk-2', [], { slots: [slot('cpu0', 'cpu', 'idle')] })
  await registerTasks(one, 'old', [], { offline: true })
  await vi.waitFor(async () => expect((await get('/api/workers')).json().items).toHaveLength(3), { timeout: 8_000 })
})
afterAll(() => one.release())

const get = async (url: string) => await one.app.inject({ url, headers: one.bearer('read') })
const post = async (url: string, scope: Scope = 'admin') =>
  await one.app.inject({ method: 'POST', url, headers: one.bearer(scope) })

describe('figures', () => {
  it('of all workers together', async () => {
    expect((await get('/api/workers/stats')).json()).toEqual({
      workers: { total: 3, online: 2, draining: 0, offline: 1 },
      slots: { total: 4, running: 1, idle: 3, other: 0 },
      gpus: { total: 2, vramTotalGb: 10, vramUsedGb: 3 },
      cpu: { cores: 8, threads: 16 },
      ram: { totalGb: 32, availableGb: 16 },
      units: { done: 6, failed: 2 }
    })
  })

  it('of every queue, with what waits and who serves it', async () => {
    const jobId = await insertTranscription(one.deps.db, { status: 'RUNNING' })
    for (const [index, status] of (['QUEUED', 'QUEUED', 'QUEUED', 'RUNNING', 'DONE'] as const).entries())
      await insertChunk(one.deps.db, jobId, index, { status, queue: 'gpu' })
    const at = (index: number) => one.deps.db.updateTable('units').where('id', '=', `${jobId}.chunk.${index}`)
    await at(0)
      .set({ queued_at: new Date(Date.now() - 60_000) })
      .execute()
    await at(1)
      .set({ queued_at: new Date(0), not_before: new Date(Date.now() + 60_000), is_due: false })
      .execute()
    await insertChunk(one.deps.db, await insertTranscription(one.deps.db), 0, { status: 'QUEUED', queue: 'gpu.vram24' })
    const { items } = (await get('/api/workers/queues')).json()
    const desk1 = { id: 'desk-1', name: 'desk-1' }
    const none = { waiting: 0, running: 0, oldestWaitingSeconds: null }
    expect(items).toEqual([
      { queue: 'cpu', ...none, slots: 2, workers: [desk1, { id: 'desk-2', name: 'desk-2' }] },
      { queue: 'cpu+word-count', ...none, slots: 1, workers: [desk1] },
      { queue: 'gpu', waiting: 3, running: 1, slots: 2, oldestWaitingSeconds: expect.any(Number), workers: [desk1] },
      { queue: 'gpu.vram24', waiting: 1, running: 0, slots: 0, oldestWaitingSeconds: expect.any(Number), workers: [] },
      { queue: 'gpu.vram6', ...none, slots: 1, workers: [desk1] }
    ])
    expect(Math.round(items[2].oldestWaitingSeconds / 10)).toBe(6)
  })

  it('of jobs and units', async () => {
    await one.deps.db.deleteFrom('jobs').execute()
    const now = new Date()
    const jobId = await insertTranscription(one.deps.db, { status: 'COMPLETED', finished_at: now })
    await insertTranscription(one.deps.db, { status: 'FAILED', finished_at: new Date(Date.now() - 3_600_000) })
    await insertTranscription(one.deps.db, { status: 'FAILED', finished_at: new Date(Date.now() - 48 * 3_600_000) })
    await insertTranscription(one.deps.db)
    for (const index of [0, 1, 2]) await insertChunk(one.deps.db, jobId, index, { status: 'DONE' })
    await insertChunk(one.deps.db, jobId, 3, { status: 'RUNNING' })
    await one.deps.db.updateTable('units').set({ finished_at: now }).where('index', '<', 2).execute()
    await one.deps.db.updateTable('units').set({ task: 'other', finished_at: now }).where('index', '=', 1).execute()
    expect((await get('/api/stats')).json()).toMatchObject({
      jobs: { PENDING: 1, RUNNING: 0, COMPLETED: 1, PARTIAL: 0, FAILED: 1, CANCELLED: 0 },
      units: { QUEUED: 0, RUNNING: 1 },
      lastMinute: { unitsDone: 2, secondsDone: 20, jobsEnded: 1 },
      workers: { total: 3, online: 2 },
      gpus: { total: 2 }
    })
  })
})

describe('what a worker says of itself', () => {
  const say = (presence: object) =>
    one.deps.redis.set(presenceKey('liar'), JSON.stringify({ ...PRESENCE, ...presence }), 'PX', 600_000)
  const liar = async () => (await get('/api/workers/liar')).json()

  it('is not that it is another, nor more than a machine has', async () => {
    await registerTasks(one, 'liar', [])
    await expect.poll(async () => (await liar()).status).toBe('online')
    await say({ id: 'old', name: 'old', hostname: 'elsewhere' })
    await expect.poll(async () => (await liar()).hostname).toBe('elsewhere')
    expect(await liar()).toMatchObject({ id: 'liar', name: 'liar' })
    expect((await get('/api/workers/old')).json()).toMatchObject({ name: 'old', status: 'offline' })
    await say({ id: 'liar', name: 'liar', reason: 'x'.repeat(1 << 18) })
    await expect.poll(async () => (await liar()).status).toBe('offline')
  })

  it('is not that it serves queues whose units it is not given', async () => {
    await one.deps.db
      .updateTable('workers')
      .set({ queues: ['cpu'] })
      .where('id', '=', 'liar')
      .execute()
    await say({ id: 'liar', name: 'liar', hostname: 'eager', queues: ['cpu', 'cpu+word-count'] })
    await expect.poll(async () => (await liar()).hostname).toBe('eager')
    expect((await liar()).queues).toEqual(['cpu'])
  })

  it('is a number that can be added to those of others, however large it is', async () => {
    const most = Number.MAX_SAFE_INTEGER
    const absurd = {
      hostname: 'absurd',
      protocol: most,
      cpu: { ...PRESENCE.cpu, cores: most, threads: 1e308, ghz: -1e308 },
      ram: { totalGb: 1e308, availableGb: 1.7e308 },
      gpus: [{ ...card(most, 1e308), vramUsedGb: -1e308, utilization: 1e308 }],
      brokerRttMs: 5e-324,
      models: [{ name: 'base', sizeBytes: 1e308 }],
      figures: { unitsDone: 0.5, unitsFailed: 1e308, rssBytes: most, pythonRssBytes: -1 }
    }
    await say({ id: 'liar', name: 'liar', ...absurd })
    await expect.poll(async () => (await liar()).hostname).toBe('absurd')
    expect(await liar()).toMatchObject({ status: 'online', cpu: { cores: 1e5, ghz: 0 } })
    for (const url of ['/api/stats', '/api/workers', '/api/workers/stats', '/api/cluster/topology', '/api/models'])
      expect((await get(url)).statusCode, url).toBe(200)
    // As an earlier version kept it.
    const row = { presence: JSON.stringify({ ...PRESENCE, id: 'old', ...absurd }), last_seen: new Date() }
    await one.deps.db.updateTable('workers').set(row).where('id', '=', 'old').execute()
    await expect.poll(async () => (await get('/api/workers/old')).json().hostname).toBe('absurd')
    expect((await get('/api/workers')).statusCode).toBe(200)
  })
})

describe('draining', () => {
  const draining = async () => (await get('/api/workers/desk-1')).json().status

  it('is told to the worker, shown, and kept until it is resumed', async () => {
    expect((await post('/api/workers/desk-1/drain', 'submit')).statusCode).toBe(403)
    expect((await post('/api/workers/none/drain')).statusCode).toBe(404)
    const answer = await post('/api/workers/desk-1/drain')
    expect([answer.statusCode, answer.json().id, answer.json().status]).toEqual([202, 'desk-1', 'draining'])
    await expect.poll(draining).toBe('draining')
    // The worker of this test goes on as if it had not heard: it is told again.
    const drains = async () => (await ordersOf('desk-1')).filter(type => type === 'drain').length
    const before = await drains()
    await expect.poll(drains, { timeout: 4 * PRESENCE_EVERY_MS }).toBeGreaterThan(before)
    const resumed = await post('/api/workers/desk-1/resume')
    expect([resumed.statusCode, resumed.json().status]).toEqual([202, 'online'])
    await expect.poll(draining).toBe('online')
    expect((await ordersOf('desk-1')).at(-1)).toBe('resume')
  })

  it('of a worker that was never there is refused, and not kept for later', async () => {
    await one.deps.db.insertInto('workers').values({ id: 'new', name: 'new', hostname: 'desk' }).execute()
    expect((await post('/api/workers/new/drain')).statusCode).toBe(404)
    const kept = one.deps.db.selectFrom('workers').select('draining').where('id', '=', 'new')
    expect(await kept.executeTakeFirst()).toEqual({ draining: false })
  })

  it('is ended again where the worker missed that, and only what began by an order', async () => {
    const { redis } = one.deps
    const say = async (id: string, change: Partial<Presence>) =>
      await redis.set(
        presenceKey(id),
        JSON.stringify({ ...JSON.parse((await redis.get(presenceKey(id))) ?? ''), ...change }),
        'PX',
        600_000
      )
    await redis.del(inboxKey('desk-1'), inboxKey('desk-2'))
    await say('desk-2', { status: 'draining', reason: 'quiet hours until 07:00' })
    await say('desk-1', { status: 'draining', reason: DRAINED_REASON })
    // At two looks: the first has come as far as the other worker.
    await expect
      .poll(async () => (await ordersOf('desk-1')).slice(0, 2), { timeout: 4 * PRESENCE_EVERY_MS })
      .toEqual(['resume', 'resume'])
    expect(await ordersOf('desk-2')).toEqual([])
    for (const id of ['desk-1', 'desk-2']) await say(id, { status: 'online', reason: null })
    await expect.poll(draining).toBe('online')
  })
})
