import { randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { describe, expect, it, vi } from 'vitest'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }
const error = new ScError('SC_TASK_FAILED', 'made up').toReport()

describe('what a worker says of units that it cannot have been given', () => {
  const at = useEngine()

  async function enrol(queues: Record<string, string[]>): Promise<void> {
    await at.world.db.deleteFrom('workers').execute()
    for (const [id, own] of Object.entries(queues))
      await at.world.db.insertInto('workers').values({ id, name: id, hostname: id, queues: own }).execute()
  }

  /** Everything that can be said of a unit. */
  function everything(unitId: string, attemptId: string = randomUUID()): OutboxMessage[] {
    const one = { unitId, attemptId, slot: 'cpu0' }
    return [
      { type: 'started', ...one, waitedMs: 0 },
      { type: 'progress', ...one, fraction: 0.5 },
      { type: 'log', ...one, level: 'info', message: 'made up' },
      { type: 'returned', ...one, entry: `${unitId}-0` },
      { type: 'error', ...one, error, retryable: false, timings: TIMINGS },
      { type: 'result', ...one, output: 'made up', timings: TIMINGS }
    ]
  }

  async function sayAll(workerId: string, messages: OutboxMessage[]): Promise<void> {
    for (const message of messages) await at.world.say(workerId, message)
    await vi.waitFor(async () => expect(await at.world.redis.xlen(outboxKey(workerId))).toBe(0), WAIT)
  }

  const unitOf = async (jobId: string, index: number) => {
    const unit = (await at.world.units(jobId))[index]
    if (!unit) throw new Error(`no unit ${index}`)
    return unit
  }
  const planned = (jobId: string, queue: string) =>
    vi.waitFor(async () => expect((await unitOf(jobId, 0)).sent_at, queue).not.toBeNull(), WAIT)
  const start = async (input: Record<string, unknown>): Promise<string> => {
    const jobId = await at.world.insertJob(input)
    await at.engine.stop()
    // The reconciler of a starting master finds what was submitted and not planned.
    at.start()
    return jobId
  }

  it('is refused where it has no right to the queue, and believed of who has', async () => {
    await enrol({ 'w-1': ['cpu'], 'w-2': ['gpu', 'cpu'] })
    const jobId = await start({ units: 1, queue: 'gpu' })
    await planned(jobId, 'gpu')
    const before = await unitOf(jobId, 0)
    await sayAll('w-1', everything(before.id))
    expect(await unitOf(jobId, 0)).toEqual(before)
    expect(await at.world.db.selectFrom('job_logs').selectAll().where('job_id', '=', jobId).execute()).toEqual([])
    const attemptId = randomUUID()
    const [started, , , , , result] = everything(before.id, attemptId)
    await sayAll('w-2', [started as OutboxMessage])
    // Neither does another worker's attempt end by the word of this one.
    await sayAll('w-1', everything(before.id, attemptId))
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'RUNNING', worker_id: 'w-2', fraction: 0 })
    await sayAll('w-2', [result as OutboxMessage])
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'DONE', worker_id: 'w-2', output: 'made up' })
  })

  it('is refused of a unit that was never sent', async () => {
    await enrol({ 'w-1': ['cpu'] })
    const jobId = await start({ units: 400 })
    await planned(jobId, 'cpu')
    await vi.waitFor(async () => expect(await at.world.units(jobId)).toHaveLength(400), WAIT)
    const last = await unitOf(jobId, 399)
    expect(last.sent_at).toBeNull()
    await sayAll('w-1', everything(last.id))
    expect(await unitOf(jobId, 399)).toMatchObject({ status: 'QUEUED', attempts: 0, crashes: 0, attempt_id: null })
  })
})
