import { randomUUID } from 'node:crypto'
import type { ErrorCode } from '@sc/shared/errors.ts'
import { describe, expect, it, vi } from 'vitest'
import type { TaskRequest } from '../../src/jobs/submit-task.ts'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 2, reported: 0 }
const WAIT = { timeout: 20_000, interval: 20 }

describe('a unit whose task must not run twice', { timeout: 30_000 }, () => {
  const at = useEngine()

  async function submit(change: Partial<TaskRequest> = {}): Promise<string> {
    const request = { task: 'pay', queue: 'cpu', input: { to: 'x' }, priority: 0, attempts: undefined }
    const how = { timeoutMs: null, runAt: null, keyId: 'test', idempotencyKey: null, requestHash: 'x' }
    return (await at.engine.submitTask({ ...request, ...how, retryCrashes: false, ...change })).jobId
  }

  const about = ({ units: [{ unitId }] }: Taken) => ({ unitId, attemptId: randomUUID(), slot: 's' })
  async function begin(taken: Taken, workerId = 'w-1') {
    const own = about(taken)
    await at.world.say(workerId, { type: 'started', ...own, waitedMs: 0 })
    await vi.waitFor(async () => expect((await unitOf(taken.units[0].jobId))?.status).toBe('RUNNING'), WAIT)
    return own
  }
  const finish = (own: ReturnType<typeof about>, workerId = 'w-1') =>
    at.world.say(workerId, { type: 'result', ...own, output: 'paid', timings: TIMINGS })
  const fail = async (own: ReturnType<typeof about>, code: ErrorCode) => {
    const error = { code, title: code, detail: 'its last words' }
    await at.world.say('w-1', { type: 'error', ...own, error, retryable: true, timings: TIMINGS })
  }
  const giveBack = (taken: Taken, own: ReturnType<typeof about>, hasBegun: boolean) =>
    at.world.say('w-1', { type: 'returned', ...own, entry: taken.entry, hasBegun })
  const unitOf = async (jobId: string) => (await at.world.units(jobId))[0]
  const ended = (jobId: string, status: string) =>
    vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)
  /** It failed, says so, and nobody is given it any more. */
  async function isOver(jobId: string): Promise<void> {
    await ended(jobId, 'FAILED')
    expect(await at.world.job(jobId)).toMatchObject({ error: { code: 'SC_MAY_HAVE_RUN' } })
    await vi.waitFor(
      async () => expect(await countEntries(at.world.queueOf('cpu'))).toEqual({ waiting: 0, active: 0 }),
      WAIT
    )
    expect(await at.world.take('cpu', 'w-2')).toBeNull()
    at.world.worker('w-2').die()
  }

  it('fails where its process dies, and says why and what to do', async () => {
    const jobId = await submit()
    await fail(await begin(await at.world.takeOne()), 'SC_CHILD_DIED')
    await isOver(jobId)
    const { error } = await at.world.job(jobId)
    expect(error?.detail).toMatch(
      / may have run, and its task pay must not run twice .*\/retry runs it again\. its last words$/
    )
    expect(await unitOf(jobId)).toMatchObject({ attempts: 0, crashes: 1 })
  })

  it('is tried again after an error of the task itself, and may be run again by its user', async () => {
    const jobId = await submit({ attempts: 2 })
    await fail(await begin(await at.world.takeOne()), 'SC_TASK_FAILED')
    await fail(await begin(await at.world.takeOne()), 'SC_CHILD_DIED')
    await isOver(jobId)
    await at.engine.retry(jobId)
    await finish(await begin(await at.world.takeOne()))
    await ended(jobId, 'COMPLETED')
  })

  it.each([
    ['it began', true],
    ['it was given, and nothing came of it', false]
  ])('fails when its worker is lost after %s', async (_, hasBegun) => {
    const jobId = await submit()
    const taken = await at.world.takeOne()
    if (hasBegun) await begin(taken)
    at.world.worker('w-1').die()
    await isOver(jobId)
  })

  it('fails when another process of its worker says hello', async () => {
    const jobId = await submit()
    await at.world.takeOne()
    await at.world.worker('w-1').begin()
    await isOver(jobId)
  })

  it('fails when it is given back begun', async () => {
    const jobId = await submit()
    const taken = await at.world.takeOne()
    await giveBack(taken, await begin(taken), true)
    await isOver(jobId)
  })

  it('goes to another when it is given back unbegun', async () => {
    const jobId = await submit()
    const first = await at.world.takeOne()
    await giveBack(first, about(first), false)
    const second = await at.world.takeOne()
    await giveBack(second, await begin(second), false)
    await finish(await begin(await at.world.takeOne('cpu', 'w-2'), 'w-2'), 'w-2')
    await ended(jobId, 'COMPLETED')
    expect(await unitOf(jobId)).toMatchObject({ crashes: 0, attempts: 0, dispatch: 2 })
  })

  it('fails when worker and master end together', async () => {
    const jobId = await submit()
    await begin(await at.world.takeOne())
    await at.engine.stop()
    at.world.worker('w-1').die()
    await at.start()
    await isOver(jobId)
  })

  it('goes on over a restart of the master', async () => {
    const jobId = await submit()
    const own = await begin(await at.world.takeOne())
    await at.engine.stop()
    await at.start()
    expect(await at.world.take('cpu', 'w-2', 6_000)).toBeNull()
    await finish(own)
    await ended(jobId, 'COMPLETED')
  })

  it('goes on with its worker after Redis was emptied', async () => {
    const jobId = await submit()
    const own = await begin(await at.world.takeOne())
    await at.world.redis.flushall()
    // As after the time that the reconciler gives it.
    await at.world.db
      .updateTable('units')
      .set({ sent_at: new Date(0), touched_at: new Date(0) })
      .execute()
    expect(await at.world.take('cpu', 'w-2', 1_000)).toBeNull()
    await finish(own)
    await ended(jobId, 'COMPLETED')
  })

  it('fails, with nobody asking for it, when Redis was emptied and its worker is gone', async () => {
    const jobId = await submit()
    await begin(await at.world.takeOne())
    await at.engine.stop()
    at.world.worker('w-1').die()
    await at.world.redis.flushall()
    await at.world.db
      .updateTable('units')
      .set({ sent_at: new Date(0), touched_at: new Date(0) })
      .execute()
    await at.start()
    await isOver(jobId)
  })

  it('is given once by two masters, also when Redis has it twice', async () => {
    const other = await at.world.startMaster('two')
    try {
      const takeNext = () => at.world.take('cpu', 'w-2', 1_000)
      const jobIds = await Promise.all(Array.from({ length: 8 }, () => submit()))
      const taken = await at.world.takeOne()
      const { data, opts } = (await at.world.queueOf('cpu').queue.getJob(taken.entry)) ?? {}
      await at.world.queueOf('cpu').queue.add('pay', data as never, { ...opts, jobId: `${taken.entry}-twice` })
      const seen = [taken.units[0].unitId]
      await finish(await begin(taken))
      for (let next = await takeNext(); next; next = await takeNext()) {
        seen.push(next.units[0].unitId)
        await finish(await begin(next, 'w-2'), 'w-2')
      }
      expect(seen.toSorted()).toEqual(jobIds.map(jobId => `${jobId}.pay.0`).toSorted())
      for (const jobId of jobIds) await ended(jobId, 'COMPLETED')
    } finally {
      await other.stop()
    }
  })
})
