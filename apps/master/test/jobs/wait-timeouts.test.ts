import { randomUUID } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import type { TaskRequest } from '../../src/jobs/submit-task.ts'
import { startWaitTimeouts } from '../../src/jobs/wait-timeouts.ts'
import { createMetrics } from '../../src/metrics.ts'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 2, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }

const at = useEngine()

async function submit(waitTimeoutMs: number | null, change: Partial<TaskRequest> = {}): Promise<string> {
  const request = { task: 'word-count', queue: 'cpu', input: { text: 'one two' }, priority: 0, attempts: undefined }
  const how = { timeoutMs: null, runAt: null, keyId: 'test', idempotencyKey: null, requestHash: 'x' }
  return (await at.engine.submitTask({ ...request, ...how, waitTimeoutMs, ...change })).jobId
}

const takeOne = (): Promise<Taken> => at.world.takeOne()

/** A worker says that it began. */
async function begin({ units: [{ unitId }] }: Taken) {
  const about = { unitId, attemptId: randomUUID(), slot: 'cpu-0' }
  await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
  await vi.waitFor(async () => expect((await unitsOf(unitId.split('.')[0] ?? ''))[0]?.status).toBe('RUNNING'), WAIT)
  return about
}

/** For as long as its job allows. */
async function hasWaited(jobId: string): Promise<void> {
  const { db } = at.world
  await db.updateTable('jobs').set({ wait_timeout_ms: 1 }).where('id', '=', jobId).execute()
  await db
    .updateTable('units')
    .set({ wait_until: new Date(0) })
    .where('job_id', '=', jobId)
    .execute()
}

const unitsOf = (jobId: string) => at.world.units(jobId)
const ended = (jobId: string, status: string) =>
  vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)

it('a unit that no slot takes in time fails, with its job, and leaves its queue', async () => {
  const patient = await submit(null)
  const jobId = await submit(300)
  await ended(jobId, 'FAILED')
  const error = { code: 'SC_WAIT_TIMEOUT', detail: expect.stringMatching(/on queue cpu within the 0\.3 s/) }
  expect(await at.world.job(jobId)).toMatchObject({ error, output: null, started_at: null })
  expect(await unitsOf(jobId)).toMatchObject([{ status: 'FAILED', attempts: 0, error }])
  await vi.waitFor(async () => expect((await countEntries(at.world.queueOf('cpu'))).waiting).toBe(1), WAIT)
  expect((await takeOne()).units[0].jobId).toBe(patient)
})

it('a unit that has started is left alone; queued again, it has the same time once more', async () => {
  const jobId = await submit(2_000)
  const taken = await takeOne()
  const about = await begin(taken)
  await ended(await submit(2_000), 'FAILED')
  expect((await at.world.job(jobId)).status).toBe('RUNNING')
  const failure = { code: 'SC_TASK_FAILED' as const, title: 'x', detail: 'it fell over' }
  await at.world.say('w-1', { type: 'error', ...about, error: failure, retryable: true, timings: TIMINGS })
  await ended(jobId, 'FAILED')
  const [unit] = await unitsOf(jobId)
  expect(unit).toMatchObject({ attempts: 1, error: { code: 'SC_WAIT_TIMEOUT' } })
  // Its pause after the failure does not count.
  const waitedMs = (unit?.finished_at?.getTime() ?? 0) - (unit?.not_before?.getTime() ?? 0)
  expect(waitedMs).toBeGreaterThanOrEqual(2_000)
})

it('the time before it may run does not count', async () => {
  const runAt = new Date(Date.now() + 1_500)
  const jobId = await submit(200, { runAt })
  await ended(jobId, 'FAILED')
  const endedAt = (await at.world.job(jobId)).finished_at?.getTime() ?? 0
  expect(endedAt).toBeGreaterThanOrEqual(runAt.getTime() + 200)
})

it('a job of many units goes on without the one that waited too long', async () => {
  const jobId = await at.world.insertJob({ units: 2 })
  await at.engine.stop()
  await at.start()
  const taken = await takeOne()
  const about = await begin(taken)
  await hasWaited(jobId)
  const status = async () => (await unitsOf(jobId)).map(unit => unit.status)
  await vi.waitFor(async () => expect(await status()).toEqual(['RUNNING', 'FAILED']), WAIT)
  await at.world.say('w-1', { type: 'result', ...about, output: 0, timings: TIMINGS })
  await ended(jobId, 'PARTIAL')
  expect(await at.world.job(jobId)).toMatchObject({ gaps: [{ start: 1, error: { code: 'SC_WAIT_TIMEOUT' } }] })
})

it('two masters fail each unit once, however many there are', async () => {
  const other = await at.world.startMaster('two')
  try {
    const jobIds = await Promise.all(Array.from({ length: 60 }, () => submit(300)))
    await vi.waitFor(async () => {
      const rows = await at.world.db.selectFrom('jobs').select(['status', 'told']).where('id', 'in', jobIds).execute()
      expect(new Set(rows.map(({ status, told }) => `${status} ${told}`))).toEqual(new Set(['FAILED true']))
    }, WAIT)
    await vi.waitFor(async () => expect((await countEntries(at.world.queueOf('cpu'))).waiting).toBe(0), WAIT)
  } finally {
    await other.stop()
  }
})

it('it is told and ended before its entry leaves Redis, which may be away', async () => {
  const jobId = await submit(3_600_000)
  await at.engine.stop()
  await hasWaited(jobId)
  const told: string[][] = []
  const withdrawn = Promise.withResolvers<void>()
  const never = new Promise<void>(() => {})
  const waitTimeouts = startWaitTimeouts({
    ...at.world,
    metrics: createMetrics(),
    isCaughtUp: () => true,
    onEnded: async ids => void told.push(ids),
    onSettled: async ids => void told.push(ids),
    dispatch: {
      ...at.engine.dispatch,
      withdraw: () => {
        withdrawn.resolve()
        return never
      }
    }
  })
  await withdrawn.promise
  expect(told).toEqual([[jobId], [jobId]])
  await waitTimeouts.stop()
})

it('it may be begun again, and waits as long again', async () => {
  const jobId = await submit(2_000)
  await ended(jobId, 'FAILED')
  await vi.waitFor(async () => expect((await at.world.job(jobId)).told).toBe(true), WAIT)
  await at.engine.retry(jobId)
  const taken = await takeOne()
  expect(taken.units[0].jobId).toBe(jobId)
  await begin(taken)
})
