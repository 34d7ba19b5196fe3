import { randomUUID } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { inBatches } from '../../src/jobs/in-batches.ts'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 10 }

describe('who goes first', () => {
  const at = useEngine()

  /** A job whose units are all known. */
  async function submit(
    input: { units: number; seconds?: number },
    who: { priority?: number; keyId?: string } = {}
  ): Promise<string> {
    const jobId = await at.world.insertJob(input, who)
    await at.engine.stop()
    await at.start()
    await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
    return jobId
  }

  /** What a slot does: takes the first unit once the head of the queue is there, and ends it. */
  async function workNext(): Promise<Taken> {
    const open = await at.world.db
      .selectFrom('units')
      .select('id')
      .where('status', '=', 'QUEUED')
      .orderBy('priority', 'desc')
      .orderBy('rank')
      .executeTakeFirst()
    await vi.waitFor(async () => {
      const unit = await at.world.db
        .selectFrom('units')
        .select('entry')
        .where('id', '=', open?.id ?? '')
        .executeTakeFirstOrThrow()
      expect(unit.entry).not.toBeNull()
    }, WAIT)
    const taken = await at.world.takeOne()
    await finish(taken)
    return taken
  }

  async function finish(taken: Taken): Promise<void> {
    const attempt = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 's' }
    const timings = { waited: 0, fetched: 0, ran: 1_000, reported: 0 }
    await at.world.say('w-1', { type: 'started', ...attempt, waitedMs: 0 })
    await at.world.say('w-1', { type: 'result', ...attempt, output: null, timings })
    await vi.waitFor(async () => {
      const unit = await at.world.db
        .selectFrom('units')
        .select('status')
        .where('id', '=', taken.units[0].unitId)
        .executeTakeFirstOrThrow()
      expect(unit.status).toBe('DONE')
    }, WAIT)
  }

  async function workMany(count: number): Promise<string[]> {
    const jobs: string[] = []
    for (let n = 0; n < count; n++) jobs.push((await workNext()).units[0].jobId)
    return jobs
  }

  it('a short job that comes behind a long one is done before the third unit of the long one', async () => {
    const long = await submit({ units: 24, seconds: 150 })
    const first = await workNext()
    expect(first.units[0].jobId).toBe(long)
    const short = await submit({ units: 1, seconds: 3 })
    expect(await workMany(2)).toContain(short)
  })

  it('a higher priority goes first, whatever came before it', async () => {
    await submit({ units: 12 })
    const urgent = await submit({ units: 3 }, { priority: 60 })
    const more = await submit({ units: 2 }, { priority: 61 })
    expect(await workMany(5)).toEqual([more, more, urgent, urgent, urgent])
  })

  it('keys share evenly, however many jobs each has', async () => {
    const many: string[] = []
    for (let n = 0; n < 4; n++) many.push(await submit({ units: 8, seconds: 10 }, { keyId: 'many' }))
    const one = await submit({ units: 16, seconds: 10 }, { keyId: 'one' })
    const worked = await workMany(20)
    const share = worked.filter(jobId => jobId === one).length
    // Half, and not the fifth that one of five jobs would get; the first of the many came when it was alone.
    expect(share).toBeGreaterThanOrEqual(7)
    expect(share).toBeLessThanOrEqual(13)
    // Those of one key share with each other, too.
    expect(new Set(worked).size).toBe(5)
  })

  it('jobs of one unit each do not push back those of another key', async () => {
    for (let n = 0; n < 6; n++) await submit({ units: 1 }, { keyId: 'many' })
    const other = await submit({ units: 1 }, { keyId: 'other' })
    expect((await workMany(2)).includes(other)).toBe(true)
  })

  it('only what goes next is in Redis', async () => {
    const jobId = await submit({ units: 300 })
    await vi.waitFor(async () => expect((await countEntries(at.world.queueOf('cpu'))).waiting).toBe(8), WAIT)
    expect((await workMany(40)).every(id => id === jobId)).toBe(true)
    expect((await countEntries(at.world.queueOf('cpu'))).waiting).toBeLessThan(60)
    await at.engine.cancel(jobId)
    expect(await countEntries(at.world.queueOf('cpu'))).toEqual({ waiting: 0, active: 0 })
  })

  it('two masters send each unit once', async () => {
    const other = await at.world.startMaster('two')
    try {
      await submit({ units: 40 })
      const worked: string[] = []
      for (let n = 0; n < 40; n++) worked.push((await workNext()).units[0].unitId)
      expect(new Set(worked).size).toBe(40)
      expect(await at.world.take()).toBeNull()
    } finally {
      await other.stop()
    }
  })
})

describe('batches of a plan', () => {
  it('hold what comes without waiting, and never wait for more', async () => {
    let go = (): void => {}
    const gate = new Promise<void>(resolve => {
      go = resolve
    })
    async function* items(): AsyncGenerator<number, string> {
      yield 1
      yield 2
      yield 3
      await gate
      yield 4
      return 'the end'
    }
    const batches = inBatches(items(), { most: 2, mostWeight: 9, weigh: item => item })
    expect(await batches.next()).toEqual({ done: false, value: [1, 2] })
    expect(await batches.next()).toEqual({ done: false, value: [3] })
    go()
    expect(await batches.next()).toEqual({ done: false, value: [4] })
    expect(await batches.next()).toEqual({ done: true, value: 'the end' })
  })

  it('hold no more than may be in one statement', async () => {
    async function* items(): AsyncGenerator<number, void> {
      yield* [1, 9, 12, 3, 3]
    }
    const batches = inBatches(items(), { most: 100, mostWeight: 10, weigh: item => item })
    const all: number[][] = []
    for await (const batch of batches) all.push(batch)
    expect(all).toEqual([[1, 9], [12], [3, 3]])
  })
})
