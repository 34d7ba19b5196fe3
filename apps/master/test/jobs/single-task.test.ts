import { randomUUID } from 'node:crypto'
import type { ErrorCode } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import { describe, expect, it, vi } from 'vitest'
import type { TaskRequest } from '../../src/jobs/submit-task.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }

const at = useEngine()

async function submit(change: Partial<TaskRequest> = {}): Promise<string> {
  const request = { task: 'word-count', queue: 'cpu', input: { text: 'one two' }, priority: 0, attempts: undefined }
  const how = { timeoutMs: null, runAt: null, keyId: 'test', idempotencyKey: null, requestHash: 'x' }
  return (await at.engine.submitTask({ ...request, ...how, ...change })).jobId
}

const takeOne = (): Promise<Taken> => at.world.takeOne()

/** One attempt of a worker, to its end. */
async function attempt(taken: Taken, end: { output: unknown } | { code: ErrorCode }): Promise<void> {
  const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 'cpu-0' }
  await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
  if ('output' in end) await at.world.say('w-1', { type: 'result', ...about, output: end.output, timings: TIMINGS })
  else {
    const error = { code: end.code, title: end.code, detail: 'it fell over' }
    await at.world.say('w-1', { type: 'error', ...about, error, retryable: false, timings: TIMINGS })
  }
}

const ended = (jobId: string, status: string) =>
  vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)

describe('a job of one unit', () => {
  it('gives its worker the input and nothing else, and has the output of its unit', async () => {
    const jobId = await submit({ timeoutMs: 1234 })
    const taken = await takeOne()
    expect(taken.units[0]).toMatchObject({
      jobId,
      task: 'word-count',
      inputRef: null,
      params: { text: 'one two' },
      deadline: 1234
    })
    expect(taken.units[0].params).toEqual({ text: 'one two' })
    await attempt(taken, { output: { words: 2 } })
    await ended(jobId, 'COMPLETED')
    expect(await at.world.job(jobId)).toMatchObject({ output: { words: 2 }, output_ref: null, error: null })
  })

  it('with a large input has but its sum in Redis, also when it is begun again', async () => {
    const jobId = await submit({ input: JSON.stringify({ text: 'a'.repeat(2e6) }) })
    const payload = {
      jobId,
      inputRef: null,
      inputSha256: 'd039d72b9208b51128dad6f1f0f9845d12d6f2189aab9486d707a3abf37144e6',
      params: {}
    }
    const first = await takeOne()
    expect(first.units[0]).toMatchObject(payload)
    await attempt(first, { code: 'SC_TASK_FAILED' })
    await ended(jobId, 'FAILED')
    await at.engine.retry(jobId)
    const again = await takeOne()
    expect(again.units[0]).toEqual(first.units[0])
    await attempt(again, { output: {} })
    await ended(jobId, 'COMPLETED')
    const { input_ref } = await at.world.job(jobId)
    expect(await at.world.blobs.size(input_ref ?? '')).toBe(2_000_011)
  })

  it('has started when that was read, however long PostgreSQL was busy then', async () => {
    const jobId = await submit()
    const taken = await takeOne()
    const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 'cpu-0' }
    await at.world.db.transaction().execute(async trx => {
      await sql`lock table jobs in exclusive mode`.execute(trx)
      await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
      await new Promise(resolve => setTimeout(resolve, 1_500))
    })
    await at.world.say('w-1', { type: 'result', ...about, output: 1, timings: TIMINGS })
    await ended(jobId, 'COMPLETED')
    const [unit] = await at.world.units(jobId)
    expect(unit?.waited_ms).toBeLessThan(1_000)
    const afterMs = Number(unit?.started_at) - Number(unit?.queued_at)
    expect(Math.abs(afterMs - Number(unit?.waited_ms))).toBeLessThan(3)
  })

  it('keeps a large output as a blob, and not in a row', async () => {
    const jobId = await submit()
    const output = { text: 'ä'.repeat(200_000) }
    await attempt(await takeOne(), { output })
    await ended(jobId, 'COMPLETED')
    const job = await at.world.job(jobId)
    expect([job.output, job.output_ref]).toEqual([null, `results/${jobId}.json`])
    expect((await at.world.units(jobId)).map(unit => unit.output)).toEqual([null])
    const chunks: Buffer[] = []
    for await (const chunk of await at.world.blobs.get(job.output_ref ?? '')) chunks.push(chunk)
    expect(JSON.parse(Buffer.concat(chunks).toString())).toEqual(output)
  })

  it('fails with the error of its unit', async () => {
    const jobId = await submit()
    await attempt(await takeOne(), { code: 'SC_TASK_FAILED' })
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({
      output: null,
      error: { code: 'SC_TASK_FAILED', detail: 'it fell over' }
    })
  })

  it('is cancelled like any other', async () => {
    const jobId = await submit()
    expect(await at.engine.cancel(jobId)).toBe(true)
    expect(await at.world.take()).toBeNull()
    expect((await at.world.units(jobId)).map(({ status }) => status)).toEqual(['CANCELLED'])
  })

  it('waits for its time', async () => {
    const runAt = new Date(Date.now() + 1_500)
    const jobId = await submit({ runAt })
    const other = await submit()
    expect((await takeOne()).units[0].jobId).toBe(other)
    expect(await at.world.take()).toBeNull()
    expect((await takeOne()).units[0].jobId).toBe(jobId)
    expect(Date.now()).toBeGreaterThanOrEqual(runAt.getTime())
  })
})

describe('a unit that an idle slot waits for', () => {
  /** Whether the unit's entry was named with its row, and not by a round of the dispatcher. */
  async function isSentAtOnce(jobId: string): Promise<boolean> {
    const [unit] = await at.world.units(jobId)
    return unit?.sent_at?.getTime() === unit?.queued_at.getTime()
  }

  /** Asks for a unit, and submits this one once the master knows. */
  async function submitToIdle(change: Partial<TaskRequest> = {}): Promise<{ jobId: string; taken: Taken | null }> {
    const taking = at.world.worker('w-1').take(change.queue ?? 'cpu', 5_000)
    await new Promise(resolve => setTimeout(resolve, 500))
    const jobId = await submit(change)
    return { jobId, taken: await taking }
  }

  it('goes to it without a round of the dispatcher', async () => {
    const { jobId, taken } = await submitToIdle()
    expect(taken?.units[0]).toMatchObject({ jobId, index: 0, inputRef: null, params: { text: 'one two' } })
    expect(taken?.entry).toBe(`${taken?.units[0].unitId}-0`)
    expect(await isSentAtOnce(jobId)).toBe(true)
  })

  it('waits for a round where its input is large, for the memory that inputs may take', async () => {
    const { jobId, taken } = await submitToIdle({ input: { text: 'x'.repeat(70_000) } })
    expect(taken?.units[0].jobId).toBe(jobId)
    expect(await isSentAtOnce(jobId)).toBe(false)
  })
})

describe('a retry', () => {
  it('gives a failed task fresh attempts, under the same id', async () => {
    const jobId = await submit()
    await attempt(await takeOne(), { code: 'SC_TASK_FAILED' })
    await ended(jobId, 'FAILED')
    await at.engine.retry(jobId)
    expect(await at.world.job(jobId)).toMatchObject({ status: 'PENDING', error: null, finished_at: null })
    expect(await at.world.units(jobId)).toMatchObject([{ status: 'QUEUED', attempts: 0, error: null }])
    const again = await takeOne()
    expect(again.units[0].unitId).toBe(`${jobId}.word-count.0`)
    await attempt(again, { output: 2 })
    await ended(jobId, 'COMPLETED')
    expect((await at.world.job(jobId)).output).toBe(2)
  })

  it('does again what failed of a job of many units, and only that', async () => {
    const jobId = await at.world.insertJob({ units: 3 })
    await at.engine.stop()
    await at.start()
    for (let n = 0; n < 3; n++) {
      const taken = await takeOne()
      await attempt(taken, taken.units[0].index === 1 ? { code: 'SC_TASK_FAILED' } : { output: taken.units[0].index })
    }
    await ended(jobId, 'PARTIAL')
    const input = `units/${jobId}/input.txt`
    await vi.waitFor(async () => await expect(at.world.blobs.size(input)).rejects.toThrow(), WAIT)
    await at.engine.retry(jobId)
    const taken = await takeOne()
    expect([taken.units[0].index, taken.units[0].inputRef]).toEqual([1, input])
    // What its end removed is there again.
    expect(await at.world.blobs.size(input)).toBeGreaterThan(0)
    expect(await at.world.take()).toBeNull()
    await attempt(taken, { output: 10 })
    await ended(jobId, 'COMPLETED')
    expect(await at.world.job(jobId)).toMatchObject({ gaps: [], error: null })
    expect((await at.world.units(jobId)).map(unit => unit.output)).toEqual([0, 10, 2])
  })

  it('waits until no worker remembers that the job was cancelled', async () => {
    const jobId = await submit()
    await at.engine.cancel(jobId)
    const cancelledAt = (await at.world.job(jobId)).finished_at?.getTime() ?? 0
    await at.engine.retry(jobId)
    expect((await at.world.units(jobId))[0]?.not_before?.getTime()).toBe(cancelledAt + 4_000)
    await at.engine.cancel(jobId)
    await at.world.db
      .updateTable('jobs')
      .set({ finished_at: new Date(0) })
      .where('id', '=', jobId)
      .execute()
    await at.engine.retry(jobId)
    await attempt(await takeOne(), { output: 1 })
    await ended(jobId, 'COMPLETED')
  })

  it('is made once of two that are asked for at once, and of no job that is open, complete or not there', async () => {
    const jobId = await submit()
    const code = async (id = jobId) =>
      await at.engine.retry(id).then(
        () => 'done',
        error => error.code
      )
    expect(await code()).toBe('SC_NOT_FAILED')
    await attempt(await takeOne(), { code: 'SC_TASK_FAILED' })
    await ended(jobId, 'FAILED')
    expect((await Promise.all([code(), code(), code()])).sort()).toEqual(['SC_NOT_FAILED', 'SC_NOT_FAILED', 'done'])
    await attempt(await takeOne(), { output: 1 })
    await ended(jobId, 'COMPLETED')
    expect(await code()).toBe('SC_NOT_FAILED')
    expect(await code('none')).toBe('SC_NOT_FOUND')
  })
})

describe('what a task says', () => {
  const say = (taken: Taken, message: string, fields?: Record<string, unknown>) =>
    at.world.say('w-1', {
      type: 'log',
      unitId: taken.units[0].unitId,
      attemptId: 'a',
      level: 'info',
      message,
      ...(fields && { fields })
    })
  const lines = async (jobId: string) =>
    await at.world.db
      .selectFrom('job_logs')
      .select(['level', 'message', 'fields', 'unit_id'])
      .where('job_id', '=', jobId)
      .orderBy('id')
      .execute()

  it('is kept with its job, cut and without what PostgreSQL does not keep', async () => {
    const jobId = await submit()
    const taken = await takeOne()
    await say(taken, 'first', { step: 1 })
    await say(taken, 'a\0b \ud800 c', { text: 'NUL \0 and \\u0000 and half \udc00' })
    await say(taken, 'é'.repeat(5_000))
    await say(taken, 'many fields', { text: 'x'.repeat(9_000) })
    await attempt(taken, { output: 1 })
    await ended(jobId, 'COMPLETED')
    const kept = await lines(jobId)
    expect(kept.slice(0, 2)).toEqual([
      { level: 'info', message: 'first', fields: { step: 1 }, unit_id: taken.units[0].unitId },
      {
        level: 'info',
        message: 'a\ufffdb \ufffd c',
        fields: { text: 'NUL \ufffd and \\u0000 and half \ufffd' },
        unit_id: taken.units[0].unitId
      }
    ])
    expect(kept[2]?.message).toBe(`${'é'.repeat(4096)} … (cut: 10000 bytes)`)
    expect(kept[3]?.fields).toEqual({ leftOut: '9011 bytes of fields' })
  })

  it('ends with one line that says so, when a job has said too much', async () => {
    const jobId = await submit()
    const taken = await takeOne()
    for (let n = 0; n < 140; n++) await say(taken, `${n} ${'x'.repeat(8_100)}`)
    await attempt(taken, { output: 1 })
    await ended(jobId, 'COMPLETED')
    const kept = await lines(jobId)
    expect(kept.length).toBeGreaterThan(120)
    expect(kept.length).toBeLessThan(140)
    expect(kept.at(-1)).toMatchObject({ level: 'warn', message: 'The log of this job ends here: it has reached 1 MB.' })
    expect(kept.filter(({ level }) => level === 'warn')).toHaveLength(1)
  })
})
