import { randomUUID } from 'node:crypto'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { describe, expect, it, vi } from 'vitest'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 20 }
const QUICK = { waited: 0, fetched: 0, ran: 1, reported: 0 }

/** So many units of a task must have been quick before others travel together. */
const ENOUGH = 20

describe('units that take but milliseconds', () => {
  const at = useEngine()

  const submit = async (units: number, once = false): Promise<string> => {
    const jobId = await at.world.insertJob({ units, bare: true, once })
    await at.engine.stop()
    await at.start()
    await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
    return jobId
  }
  const takeOne = (): Promise<Taken> => at.world.takeOne()
  const finish = ({ unitId }: UnitPayload): Promise<void> =>
    at.world.say('w-1', {
      type: 'result',
      unitId,
      attemptId: randomUUID(),
      slot: 's',
      output: unitId,
      timings: QUICK
    })
  const work = async (taken: Taken): Promise<void> => {
    for (const unit of taken.units) await finish(unit)
  }
  const ended = (jobId: string, status: string) =>
    vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)
  /** The first units of a job travel alone: nothing is known of its task. Answers the first entry of several. */
  const together = async (): Promise<Taken> => {
    for (;;) {
      const taken = await takeOne()
      if (taken.units.length > 1) return taken
      await work(taken)
    }
  }
  const workAll = async (jobId: string): Promise<void> => {
    while ((await at.world.units(jobId)).some(({ status }) => status === 'QUEUED')) {
      const taken = await at.world.take()
      if (taken) await work(taken)
      else await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  it('travel together once that is known, in order and each once', async () => {
    const jobId = await submit(150)
    const seen: number[] = []
    let alone = 0
    while (seen.length < 150) {
      const taken = await takeOne()
      if (taken.units.length === 1 && alone++ < ENOUGH) expect(seen.length).toBe(alone - 1)
      seen.push(...taken.units.map(({ index }) => index))
      await work(taken)
    }
    expect(alone).toBeLessThan(100)
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, n) => n))
    await ended(jobId, 'COMPLETED')
    const units = await at.world.units(jobId)
    expect(units.every(unit => unit.attempts === 0 && unit.started_at !== null && unit.worker_id === 'w-1')).toBe(true)
    expect(units[149]).toMatchObject({ status: 'DONE', timings: { ran: 1, waited: expect.any(Number) } })
  })

  it('travel alone where they must not run twice', async () => {
    const jobId = await submit(60, true)
    for (let n = 0; n < 60; n++) {
      const taken = await takeOne()
      expect(taken.units).toMatchObject([{ runsOnce: true }])
      await work(taken)
    }
    await ended(jobId, 'COMPLETED')
  })

  it('are of one job and task in each entry', async () => {
    const [first, second] = [await submit(200), await submit(200)]
    for (let n = 0; n < 12; n++) {
      const taken = await together()
      expect(new Set(taken.units.map(({ jobId, task }) => `${jobId} ${task}`)).size).toBe(1)
      await work(taken)
    }
    for (const jobId of [first, second]) await at.engine.cancel(jobId)
  })

  it('are not cut smaller by slots that workers only say they have', async () => {
    await workAll(await submit(ENOUGH + 10))
    at.world.slots.set('cpu', 1_000)
    try {
      // Not by `submit`: a master that starts anew has to learn how short they are.
      const jobId = await at.world.insertJob({ units: 150, bare: true })
      expect((await together()).units.length).toBeGreaterThan(8)
      await at.engine.cancel(jobId)
    } finally {
      at.world.slots.delete('cpu')
    }
  })

  it('travel alone after they were given back, at no cost', async () => {
    const jobId = await submit(150)
    const taken = await together()
    const [done, ...rest] = taken.units
    await finish(done)
    for (const { unitId } of rest)
      await at.world.say('w-1', {
        type: 'returned',
        unitId,
        attemptId: randomUUID(),
        slot: 's',
        entry: taken.entry,
        hasBegun: false
      })
    const back = new Set(rest.map(({ unitId }) => unitId))
    while (back.size > 0) {
      const again = await takeOne()
      if (again.units.some(({ unitId }) => back.delete(unitId))) expect(again.units).toHaveLength(1)
      await work(again)
    }
    await workAll(jobId)
    await ended(jobId, 'COMPLETED')
    const units = await at.world.units(jobId)
    expect(units.every(({ attempts, crashes }) => attempts === 0 && crashes === 0)).toBe(true)
    expect(units.filter(({ dispatch }) => dispatch === 1)).toHaveLength(rest.length)
  })

  it('count as crashed when the entry was lost with them', async () => {
    await submit(150)
    const taken = await together()
    const [{ unitId }] = taken.units
    const about = { unitId, attemptId: 'found', slot: 's' }
    const dissolve = () => at.world.say('w-2', { type: 'returned', ...about, entry: taken.entry, hasBegun: false })
    await at.world.say('w-1', { type: 'started', unitId, attemptId: 'lost', slot: 's', waitedMs: 0 })
    at.world.worker('w-1').die()
    // It waits for the sign of life that does not come: until then others are taken.
    for (let entry = ''; entry !== taken.entry; ) entry = (await at.world.takeOne('cpu', 'w-2')).entry
    await dissolve()
    const row = () => at.world.db.selectFrom('units').selectAll().where('id', '=', unitId).executeTakeFirstOrThrow()
    await vi.waitFor(async () => expect(await row()).toMatchObject({ status: 'QUEUED', crashes: 1, dispatch: 1 }), WAIT)
    // Read twice, it changes nothing.
    await dissolve()
    await at.world.say('w-1', { type: 'started', unitId, attemptId: 'late', slot: 's', waitedMs: 0 })
    await vi.waitFor(
      async () => expect(await row()).toMatchObject({ status: 'RUNNING', crashes: 1, dispatch: 1 }),
      WAIT
    )
  })

  it('are not taken from a slot that has them by one that had them before', async () => {
    await submit(1)
    const taken = await takeOne()
    const [{ unitId }] = taken.units
    const about = { unitId, slot: 's' }
    await at.world.say('w-1', { type: 'started', ...about, attemptId: 'frozen', waitedMs: 0 })
    await at.world.say('w-1', { type: 'started', ...about, attemptId: 'second', waitedMs: 0 })
    await at.world.say('w-1', { type: 'returned', ...about, attemptId: 'frozen', entry: taken.entry, hasBegun: true })
    await at.world.say('w-1', { type: 'progress', ...about, attemptId: 'second', fraction: 0.5 })
    const row = () => at.world.db.selectFrom('units').selectAll().where('id', '=', unitId).executeTakeFirstOrThrow()
    const untouched = { status: 'RUNNING', attempt_id: 'second', crashes: 1, fraction: 0.5, dispatch: 0 }
    await vi.waitFor(async () => expect(await row()).toMatchObject(untouched), WAIT)
  })

  it('have an entry of another name in each master that puts some together', async () => {
    await submit(150)
    const taken = await together()
    expect(taken.entry).toMatch(new RegExp(`^${taken.units[0].unitId}-0-.{8}$`))
  })

  it('stay in the queue when one of their entry has to leave it', async () => {
    const jobId = await submit(150)
    const taken = await together()
    const waiting = () =>
      at.world.db
        .selectFrom('units')
        .selectAll()
        .where('job_id', '=', jobId)
        .where('status', '=', 'QUEUED')
        .where('entry', 'is not', null)
        .where('entry', '!=', taken.entry)
        .execute()
    const entries = Map.groupBy(await waiting(), ({ entry }) => entry)
    const [first, second] = [...entries.values()].find(units => units.length > 1) ?? []
    if (!first || !second) throw new Error('no entry of several units waits')
    const inRedis = () => at.world.queueOf('cpu').queue.getJob(first.entry as string)
    await vi.waitFor(async () => expect(await inRedis()).toBeDefined(), WAIT)
    await at.world.db.updateTable('units').set({ status: 'FAILED' }).where('id', '=', first.id).execute()
    await at.engine.dispatch.withdraw([first])
    expect(await inRedis()).toBeDefined()
    const ids = [...(entries.get(first.entry)?.values() ?? [])].map(({ id }) => id)
    await at.world.db.updateTable('units').set({ status: 'FAILED' }).where('id', 'in', ids).execute()
    await at.engine.dispatch.withdraw([second])
    expect(await inRedis()).toBeUndefined()
  })

  it('leave the queue with their job', async () => {
    const jobId = await submit(150)
    await at.engine.cancel(jobId)
    expect(await countEntries(at.world.queueOf('cpu'))).toEqual({ waiting: 0, active: 0 })
  })

  it('come back together after Redis lost everything', async () => {
    const jobId = await submit(150)
    await work(await together())
    await at.engine.stop()
    await at.world.redis.flushall()
    const longAgo = { touched_at: new Date(0), sent_at: new Date(0) }
    await at.world.db.updateTable('units').set(longAgo).where('entry', 'is not', null).execute()
    await at.start()
    await workAll(jobId)
    await ended(jobId, 'COMPLETED')
  })
})
