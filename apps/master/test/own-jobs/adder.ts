import { randomUUID } from 'node:crypto'
import { expect, vi } from 'vitest'
import type { JobRow } from '../../src/database/schema.ts'
import type { Taken } from '../jobs/test-worker.ts'
import type { EngineInTest } from '../jobs/use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const WAIT = { timeout: 45_000, interval: 20 }

/** The test in the place of a worker with the task `add`, and of who submits jobs of one's own. */
export function createAdder(at: EngineInTest) {
  const attemptAt = ({ units: [{ unitId }] }: Taken) => ({ unitId, attemptId: randomUUID(), slot: 's' })
  return {
    register: async (): Promise<void> => {
      const inputSchema = {
        type: 'object',
        properties: { a: { type: 'number' }, b: { type: 'number' }, text: { type: 'string' } },
        required: ['a', 'b'],
        additionalProperties: false
      }
      const task = { name: 'add', description: '', gpu: false, vramGb: 0, features: [], builtIn: false }
      const tasks = JSON.stringify([{ ...task, inputSchema, outputSchema: {} }])
      const set = { name: 'desk', hostname: 'desk', tasks }
      await at.world.db.updateTable('workers').set(set).where('id', '=', 'w-1').execute()
    },
    submit: async (task: string, input: Record<string, unknown> = {}): Promise<string> => {
      const how = { priority: 0, attempts: 1, timeoutMs: null, runAt: null, idempotencyKey: null, requestHash: 'x' }
      return (await at.engine.submitTask({ ...how, task, queue: null, input, keyId: 'test' })).jobId
    },
    takeOne: (): Promise<Taken> => at.world.takeOne('cpu+add'),
    /** Adds, as a worker with the task would. */
    work: async (taken: Taken): Promise<void> => {
      const { a, b } = taken.units[0].params as { a: number; b: number }
      const about = attemptAt(taken)
      await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
      await at.world.say('w-1', { type: 'result', ...about, output: a + b, timings: TIMINGS })
    },
    fail: async (taken: Taken): Promise<void> => {
      const about = attemptAt(taken)
      const error = { code: 'SC_TASK_FAILED', title: 'The task failed', detail: 'it fell over' } as const
      await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
      await at.world.say('w-1', { type: 'error', ...about, error, retryable: false, timings: TIMINGS })
    },
    ended: async (jobId: string, status: string): Promise<JobRow> => {
      await vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)
      return await at.world.job(jobId)
    }
  }
}
