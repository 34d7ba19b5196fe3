import { randomUUID } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

/** One value of Redis may have 4 MB. */
const JUNK = ['junk-1', 'junk-2', 'junk-3']
const WAIT = { timeout: 15_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }

describe('a Redis that junk has filled', () => {
  const at = useEngine()

  const takeOne = (): Promise<Taken> => at.world.takeOne()
  const finish = ({ units: [{ unitId }] }: Taken): Promise<void> =>
    at.world.say('w-1', { type: 'result', unitId, attemptId: randomUUID(), slot: 's', output: 1, timings: TIMINGS })
  const done = async (jobId: string): Promise<number> =>
    (await at.world.units(jobId)).filter(({ status }) => status === 'DONE').length

  it('gets no new work, gives up the results that it has, and goes on when there is room', {
    timeout: 60_000
  }, async () => {
    const { redis } = at.world
    const room = await at.world.openRoom()
    const jobId = await at.world.insertJob({ units: 3 })
    await at.engine.stop()
    await at.start()
    const [first, second] = [await takeOne(), await takeOne()]
    await at.engine.stop()
    await finish(first)
    for (const part of JUNK) await redis.set(part, 'x'.repeat(3 * 1024 ** 2))
    await redis.config('SET', 'maxmemory', 8 * 1024 ** 2)
    await expect(redis.set('more', 'x')).rejects.toThrow(/^OOM/)
    await room.look()
    expect(() => room.check()).toThrow(/Redis uses \d+ MB of its 8 MB/)

    await at.start()
    await vi.waitFor(async () => expect(await done(jobId)).toBe(1), WAIT)
    expect(at.engine.findings()).toEqual([])

    await redis.del(...JUNK)
    await room.look()
    room.check()
    await redis.config('SET', 'maxmemory', 0)
    await finish(second)
    await vi.waitFor(async () => expect(await done(jobId)).toBe(2), WAIT)
    // The one that was reported when nothing could be written may be given again; its result counts once.
    await vi.waitFor(async () => {
      const next = await at.world.take()
      if (next) {
        await finish(next)
      }
      expect((await at.world.job(jobId)).status).toBe('COMPLETED')
    }, WAIT)
  })
})
