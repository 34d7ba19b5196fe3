import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { beforeAll, expect, it, vi } from 'vitest'
import type { Taken } from '../jobs/test-worker.ts'
import { useEngine } from '../jobs/use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }

const folder = join(import.meta.dirname, '../fixtures/own-jobs')
const logged: string[] = []

const at = useEngine(async () => {
  const log = createLog('test', 'info', { write: line => void logged.push(line) })
  return { tasksDir: folder, log }
})

beforeAll(async () => {
  const inputSchema = {
    type: 'object',
    properties: { a: { type: 'number' }, b: { type: 'number' } },
    required: ['a', 'b'],
    additionalProperties: false
  }
  const task = { name: 'add', description: '', gpu: false, vramGb: 0, features: [], builtIn: false }
  const tasks = JSON.stringify([{ ...task, inputSchema, outputSchema: {} }])
  await at.world.db
    .updateTable('workers')
    .set({ name: 'desk', hostname: 'desk', tasks })
    .where('id', '=', 'w-1')
    .execute()
})

async function submit(task: string, input: Record<string, unknown>): Promise<string> {
  const how = { priority: 0, attempts: 1, timeoutMs: null, runAt: null, idempotencyKey: null, requestHash: 'x' }
  return (await at.engine.submitTask({ ...how, task, queue: null, input, keyId: 'test' })).jobId
}

const takeOne = (): Promise<Taken> => at.world.takeOne('cpu+add')

/** Adds, as a worker with the task would. */
async function work(taken: Taken): Promise<void> {
  const { a, b } = taken.units[0].params as { a: number; b: number }
  const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 's' }
  await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
  await at.world.say('w-1', { type: 'result', ...about, output: a + b, timings: TIMINGS })
}

async function fail(taken: Taken): Promise<void> {
  const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 's' }
  const error = { code: 'SC_TASK_FAILED', title: 'The task failed', detail: 'it fell over' } as const
  await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
  await at.world.say('w-1', { type: 'error', ...about, error, retryable: false, timings: TIMINGS })
}

const ended = (jobId: string, status: string) =>
  vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)

it('plans with results of its own units, and merges in the order of the plan', async () => {
  const jobId = await submit('add-up', { numbers: [1, 10, 20] })
  await work(await takeOne())
  const [second, third] = [await takeOne(), await takeOne()]
  await work(third)
  await work(second)
  await ended(jobId, 'COMPLETED')
  expect((await at.world.job(jobId)).output).toEqual({ sums: [1, 11, 21], total: 33 })
})

it('does no unit twice when the master stops in the middle of the plan', async () => {
  const jobId = await submit('add-up', { numbers: [1, 10] })
  const first = await takeOne()
  await at.engine.stop()
  await work(first)
  await at.start()
  await work(await takeOne())
  await ended(jobId, 'COMPLETED')
  expect((await at.world.units(jobId)).map(({ output, attempts, crashes }) => [output, attempts, crashes])).toEqual([
    [1, 0, 0],
    [11, 0, 0]
  ])
})

it('fails with its first failed unit, or is PARTIAL where it can do without', async () => {
  const strict = await submit('add-up', { numbers: [1] })
  await fail(await takeOne())
  await ended(strict, 'FAILED')
  expect(await at.world.job(strict)).toMatchObject({ error: { code: 'SC_TASK_FAILED', detail: 'it fell over' } })
  const tolerant = await submit('as-many-as-can-be', {})
  await fail(await takeOne())
  await work(await takeOne())
  await work(await takeOne())
  await ended(tolerant, 'PARTIAL')
  expect((await at.world.job(tolerant)).output).toEqual({ done: 2 })
})

it('checks what the plan asks for', async () => {
  const jobId = await submit('careless', {})
  await ended(jobId, 'FAILED')
  const { error } = await at.world.job(jobId)
  expect(error).toMatchObject({ code: 'SC_TASK_INPUT' })
  expect(error?.detail).toMatch(/a: must be number; b: is missing|b: is missing; a: must be number/)
})

it('is among the tasks, with its schema; a file that is none is left out by name', async () => {
  expect(await at.world.tasks.find('add-up')).toMatchObject({ isJob: true, inputSchema: { type: 'object' } })
  expect(logged.join('')).toMatch(/broken\.ts of the tasks folder was left out: .*nothing works here/)
  expect(logged.join('')).toMatch(/empty\.ts of the tasks folder was left out: it exports neither a task nor a job/)
})
