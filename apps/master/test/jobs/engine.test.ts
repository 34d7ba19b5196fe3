import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, it, vi } from 'vitest'
import { MAX_CRASHES } from '../../src/jobs/verdict.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }

describe('the engine', () => {
  const at = useEngine()

  async function takeOne(queue = 'cpu'): Promise<Taken> {
    return await at.world.takeOne(queue)
  }

  /** What a healthy worker does with a unit. */
  async function work(taken: Taken, workerId = 'w-1', attemptId: string = randomUUID()): Promise<void> {
    const { unitId, index } = taken.units[0]
    await at.world.say(workerId, { type: 'started', unitId, attemptId, slot: 'cpu-0', waitedMs: 0 })
    await at.world.say(workerId, {
      type: 'result',
      unitId,
      attemptId,
      slot: 'cpu-0',
      output: index * index,
      timings: TIMINGS
    })
  }

  async function failOnce(
    taken: Taken,
    code: 'SC_TASK_FAILED' | 'SC_TASK_TIMEOUT' | 'SC_CHILD_DIED' | 'SC_TASK_INPUT' | 'SC_OUT_OF_MEMORY'
  ): Promise<void> {
    const { unitId } = taken.units[0]
    const attemptId = randomUUID()
    const error = { code, title: code, detail: 'it fell over' }
    await at.world.say('w-1', { type: 'started', unitId, attemptId, slot: 'cpu-0', waitedMs: 0 })
    await at.world.say('w-1', {
      type: 'error',
      unitId,
      attemptId,
      slot: 'cpu-0',
      error,
      retryable: true,
      timings: TIMINGS
    })
  }

  const ended = (jobId: string, status: string) =>
    vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)

  async function submit(input: Record<string, unknown>): Promise<string> {
    const jobId = await at.world.insertJob(input)
    await at.engine.stop()
    // The reconciler of a starting master finds what was submitted and not planned.
    await at.start()
    return jobId
  }

  it('plans, collects and merges', async () => {
    const jobId = await submit({ units: 3 })
    for (let n = 0; n < 3; n++) await work(await takeOne())
    await ended(jobId, 'COMPLETED')
    const units = await at.world.units(jobId)
    expect(units.map(({ output, status }) => [output, status])).toEqual([
      [0, 'DONE'],
      [1, 'DONE'],
      [4, 'DONE']
    ])
    expect(units[0]?.timings?.waited).toBeGreaterThan(0)
  })

  it('takes the first result of a unit and drops a second one', async () => {
    const jobId = await submit({ units: 2 })
    const taken = await takeOne()
    const { unitId } = taken.units[0]
    await work(taken)
    // What two workers report at the same moment comes in any order.
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.status).toBe('DONE'), WAIT)
    await at.world.say('w-2', {
      type: 'result',
      unitId,
      attemptId: 'late',
      slot: 's',
      output: 'other',
      timings: TIMINGS
    })
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
    expect((await at.world.units(jobId)).map(unit => unit.output)).toEqual([0, 1])
  })

  it('accepts a late result of an attempt that was thought lost while the unit is open', async () => {
    const jobId = await submit({ units: 1 })
    const [unit] = (await takeOne()).units
    const started = { type: 'started', unitId: unit.unitId, slot: 's', waitedMs: 0 } as const
    await at.world.say('w-1', { ...started, attemptId: 'first' })
    at.world.worker('w-1').die()
    await at.world.takeOne('cpu', 'w-2')
    await at.world.say('w-2', { ...started, attemptId: 'second' })
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.crashes).toBe(1), WAIT)
    await at.world.say('w-1', {
      type: 'result',
      unitId: unit.unitId,
      attemptId: 'first',
      slot: 's',
      output: 7,
      timings: TIMINGS
    })
    await ended(jobId, 'COMPLETED')
    expect(await at.world.units(jobId)).toMatchObject([{ output: 7, crashes: 1, attempts: 0 }])
  })

  it('queues a failed unit again until its attempts are spent, and names the gap', async () => {
    const jobId = await submit({ units: 2 })
    const first = await takeOne()
    const second = await takeOne()
    await work(second)
    await failOnce(first, 'SC_TASK_FAILED')
    for (let n = 1; n < 3; n++) await failOnce(await takeOne(), 'SC_TASK_FAILED')
    await ended(jobId, 'PARTIAL')
    expect((await at.world.job(jobId)).gaps).toMatchObject([{ start: 0, end: 1, error: { code: 'SC_TASK_FAILED' } }])
    expect(await at.world.take()).toBeNull()
  })

  it('gives crashes a budget of their own, and then says that the unit is poison', async () => {
    const jobId = await submit({ units: 1 })
    for (let n = 0; n < MAX_CRASHES; n++) await failOnce(await takeOne(), 'SC_CHILD_DIED')
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({ error: { code: 'SC_POISON_UNIT' } })
    expect(await at.world.units(jobId)).toMatchObject([{ crashes: MAX_CRASHES, attempts: 0 }])
  })

  it('counts an attempt that took too long as a failed one', async () => {
    const jobId = await submit({ units: 1 })
    for (let n = 0; n < 3; n++) await failOnce(await takeOne(), 'SC_TASK_TIMEOUT')
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({ error: { code: 'SC_TASK_TIMEOUT' } })
    expect(await at.world.units(jobId)).toMatchObject([{ crashes: 0, attempts: 3 }])
  })

  it('waits before it tries a unit again', async () => {
    const jobId = await submit({ units: 1 })
    await failOnce(await takeOne(), 'SC_TASK_FAILED')
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.attempts).toBe(1), WAIT)
    const [unit] = await at.world.units(jobId)
    expect(unit).toMatchObject({ status: 'QUEUED', entry: null })
    expect(Number(unit?.not_before) - Number(unit?.queued_at)).toBeGreaterThanOrEqual(500)
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
  })

  it('gives a unit that ran out of memory to a larger card, and never to the same class again', async () => {
    const jobId = await submit({ units: 1, queue: 'gpu' })
    for (const queue of ['gpu', 'gpu.vram6', 'gpu.vram8', 'gpu.vram12', 'gpu.vram24']) {
      const taken = await takeOne(queue)
      expect((await at.world.units(jobId))[0]).toMatchObject({ queue, attempts: 0 })
      await failOnce(taken, 'SC_OUT_OF_MEMORY')
    }
    await ended(jobId, 'FAILED')
    const [unit] = await at.world.units(jobId)
    expect(unit).toMatchObject({ attempts: 1, error: { code: 'SC_OUT_OF_MEMORY' } })
  })

  it('fails a result that cannot be stored, and goes on with the others', async () => {
    const jobId = await submit({ units: 2 })
    const [unit] = (await takeOne()).units
    const attempt = { unitId: unit.unitId, attemptId: 'a', slot: 's' }
    await at.world.say('w-1', { type: 'started', ...attempt, waitedMs: 0 })
    await at.world.say('w-1', { type: 'result', ...attempt, output: 'a NUL: \0', timings: TIMINGS })
    await work(await takeOne())
    await ended(jobId, 'PARTIAL')
    expect((await at.world.units(jobId)).map(({ status }) => status)).toEqual(['FAILED', 'DONE'])
  })

  it('ends a job at once when every unit would meet the same error', async () => {
    const jobId = await submit({ units: 3 })
    await failOnce(await takeOne(), 'SC_TASK_INPUT')
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({ error: { code: 'SC_TASK_INPUT', detail: 'it fell over' } })
    await vi.waitFor(async () => expect(await at.world.take()).toBeNull(), WAIT)
  })

  it('queues a unit that was handed back, at no cost', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await takeOne()
    const attempt = { unitId: taken.units[0].unitId, attemptId: 'a', slot: 's' }
    await at.world.say('w-1', { type: 'started', ...attempt, waitedMs: 0 })
    await at.world.say('w-1', { type: 'returned', ...attempt, entry: taken.entry, hasBegun: true })
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
    expect(await at.world.units(jobId)).toMatchObject([{ attempts: 0, crashes: 0, dispatch: 1 }])
  })

  it('cancels: queues are emptied, the running slot is told, a late result does not count', async () => {
    const jobId = await submit({ units: 3 })
    const taken = await takeOne()
    const { unitId } = taken.units[0]
    await at.world.say('w-1', { type: 'started', unitId, attemptId: 'a', slot: 's', waitedMs: 0 })
    await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
    await vi.waitFor(
      async () => expect((await at.world.units(jobId))[taken.units[0].index]?.status).toBe('RUNNING'),
      WAIT
    )
    const left = `units/${jobId}/left-over.wav`
    await at.world.blobs.put(left, Buffer.from('audio'))
    expect(await at.engine.cancel(jobId)).toBe(true)
    expect(await at.engine.cancel('no-such-job')).toBe(false)
    await expect(at.world.blobs.size(left)).rejects.toThrow()
    await vi.waitFor(
      () => expect(at.world.worker('w-1').orders).toContainEqual({ type: 'cancel', unitIds: [unitId] }),
      WAIT
    )
    expect(await at.world.take()).toBeNull()
    await work(taken)
    const units = await at.world.units(jobId)
    expect(units.map(unit => unit.status)).toEqual(['CANCELLED', 'CANCELLED', 'CANCELLED'])
    expect((await at.world.job(jobId)).status).toBe('CANCELLED')
  })

  it('finishes after Redis lost everything', async () => {
    const jobId = await submit({ units: 3 })
    await work(await takeOne())
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.status).toBe('DONE'), WAIT)
    await at.world.redis.flushall()
    await at.world.db
      .updateTable('units')
      .set({ touched_at: new Date(0), sent_at: new Date(0) })
      .execute()
    await at.engine.stop()
    await at.start()
    await work(await takeOne())
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
  })

  it('counts a failed attempt once, however often it is read', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await takeOne()
    const attempt = { unitId: taken.units[0].unitId, attemptId: 'a', slot: 's' }
    const error = { code: 'SC_TASK_FAILED', title: 'x', detail: 'y' } as const
    const once = async () => {
      await at.world.say('w-1', { type: 'started', ...attempt, waitedMs: 0 })
      await at.world.say('w-1', { type: 'error', ...attempt, error, retryable: true, timings: TIMINGS })
    }
    await once()
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.attempts).toBe(1), WAIT)
    await once()
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
    expect(await at.world.units(jobId)).toMatchObject([{ attempts: 1, crashes: 0, dispatch: 1 }])
  })

  it('a result that PostgreSQL refuses fails its unit, and holds up no other', async () => {
    await sql`
      create function refuse_poison() returns trigger language plpgsql as $$
      begin if new.output::text = '"poison"' then raise exception 'this is poison'; end if; return new; end $$;
      create trigger refuse_poison before update on units for each row execute function refuse_poison()`.execute(
      at.world.db
    )
    try {
      const jobId = await submit({ units: 3 })
      const [first, second, third] = [await takeOne(), await takeOne(), await takeOne()]
      // All of it is read together.
      await at.engine.stop()
      await work(first)
      const attempt = { unitId: second.units[0].unitId, attemptId: 'a', slot: 's' }
      await at.world.say('w-1', { type: 'started', ...attempt, waitedMs: 0 })
      await at.world.say('w-1', { type: 'result', ...attempt, output: 'poison', timings: TIMINGS })
      await work(third)
      await at.start()
      await ended(jobId, 'PARTIAL')
      expect((await at.world.units(jobId))[second.units[0].index]).toMatchObject({
        status: 'FAILED',
        error: { code: 'SC_INTERNAL', detail: expect.stringContaining('this is poison') }
      })
    } finally {
      await sql`drop function refuse_poison cascade`.execute(at.world.db)
    }
  })

  it('ends a job whose plan throws after a full batch', async () => {
    const jobId = await submit({ units: 1_000, fail: true })
    await vi.waitFor(async () => expect((await at.world.units(jobId)).length).toBe(1_000), WAIT)
    expect(await at.engine.cancel(jobId)).toBe(true)
  })

  it('does what follows the end of a job also when a crash came in between', async () => {
    const jobId = await submit({ units: 1 })
    await work(await takeOne())
    await vi.waitFor(async () => expect((await at.world.job(jobId)).told).toBe(true), WAIT)
    await at.engine.stop()
    const left = `units/${jobId}/left-over.wav`
    await at.world.blobs.put(left, Buffer.from('audio'))
    await at.world.db
      .updateTable('jobs')
      .set({ told: false, finished_at: new Date(0) })
      .where('id', '=', jobId)
      .execute()
    await at.start()
    await vi.waitFor(async () => expect((await at.world.job(jobId)).told).toBe(true), WAIT)
    await expect(at.world.blobs.size(left)).rejects.toThrow()
  })

  it('reads again what a killed master had read and not applied', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await takeOne()
    await at.engine.stop()
    const { unitId } = taken.units[0]
    await at.world.say('w-1', { type: 'result', unitId, attemptId: 'a', slot: 's', output: 5, timings: TIMINGS })
    await at.start()
    await ended(jobId, 'COMPLETED')
    at.world.worker('w-1').die()
    await vi.waitFor(async () => expect(await at.world.redis.xlen('sc:out:w-1')).toBe(0), WAIT)
  })

  it('lets two masters work side by side', async () => {
    const other = await at.world.startMaster('two')
    try {
      const jobId = await submit({ units: 12 })
      for (let n = 0; n < 12; n++) await work(await takeOne(), n % 2 ? 'w-1' : 'w-2')
      await ended(jobId, 'COMPLETED')
      expect((await at.world.units(jobId)).map(unit => unit.crashes)).toEqual(Array(12).fill(0))
    } finally {
      await other.stop()
    }
  })

  it('lets a plan wait for a result', async () => {
    const jobId = await submit({ units: 1, waits: true })
    const ask = await takeOne()
    expect(ask.units[0].task).toBe('ask')
    await work(ask)
    await work(await takeOne())
    await ended(jobId, 'COMPLETED')
    expect((await at.world.job(jobId)).model).toBe('0')
  })

  it('reuses a result with the same content, unless told not to', async () => {
    const input = { units: 1, salt: 'same' }
    const first = await submit(input)
    await work(await takeOne())
    await ended(first, 'COMPLETED')
    const second = await submit(input)
    await ended(second, 'COMPLETED')
    expect(await at.world.units(second)).toMatchObject([{ output: 0, attempt_id: null }])
    const anew = await submit({ ...input, reuse: false })
    await work(await takeOne())
    await ended(anew, 'COMPLETED')
  })

  it('ends a job whose plan cannot be made, with the reason', async () => {
    const jobId = await at.world.insertJob({ units: 1, fail: true })
    await at.world.db.updateTable('jobs').set({ task: 'unheard-of' }).where('id', '=', jobId).execute()
    await at.engine.stop()
    await at.start()
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({ error: { code: 'SC_TASK_UNKNOWN' } })
  })
})
