import { sql } from 'kysely'
import { describe, expect, it, vi } from 'vitest'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 15_000, interval: 10 }
const MANY = 600

describe('the dispatcher', { timeout: 60_000 }, () => {
  const at = useEngine()

  const queueOf = async (name: string): Promise<number> => await at.world.redis.zcard(`sc:q:${name}:prioritized`)
  /** A unit in each of so many queues; one: in this. */
  async function addUnits(count: number, queue: string): Promise<void> {
    const jobId = await at.world.insertJob({ units: 0 })
    const name = count === 1 ? sql`${queue}` : sql`${queue} || n`
    await sql`insert into units (id, job_id, task, index, queue, params, span, deadline_ms)
      select ${jobId} || '.u.' || n, ${jobId}, 'u', n, ${name}, '{}', '{}', 60000
      from generate_series(1, ${count}::integer) as n`.execute(at.world.db)
  }
  const unsent = async (): Promise<number> => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::integer as count from units where entry is null and queue like 'cpu+many%'`.execute(at.world.db)
    return rows[0]?.count ?? 0
  }

  it('sends nothing to a queue that no slot serves, until one does', async () => {
    at.world.slots.set('cpu+none', 0)
    const jobId = await at.world.insertJob({ units: 3, queue: 'cpu+none' })
    await at.engine.stop()
    await at.start()
    try {
      await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
      await new Promise(resolve => setTimeout(resolve, 1_200))
      expect((await at.world.units(jobId)).map(({ entry }) => entry)).toEqual([null, null, null])
      expect(await at.world.redis.keys('sc:q:cpu+none:*')).toEqual([])
    } finally {
      at.world.slots.delete('cpu+none')
    }
    await vi.waitFor(async () => expect(await queueOf('cpu+none')).toBe(3), WAIT)
  })

  it('sends to a slot that asks before its worker is counted', async () => {
    at.world.slots.set('cpu+new', 0)
    try {
      const jobId = await at.world.insertJob({ units: 1, queue: 'cpu+new' })
      await at.engine.stop()
      await at.start()
      expect((await at.world.takeOne('cpu+new')).units[0].jobId).toBe(jobId)
    } finally {
      at.world.slots.delete('cpu+new')
    }
  })

  it('does not let a unit that is new wait for queues that are only looked at', async () => {
    await addUnits(MANY, 'cpu+many')
    await vi.waitFor(async () => expect(await unsent()).toBeLessThan(MANY), WAIT)
    await addUnits(1, 'cpu')
    at.engine.dispatch.added([{ queue: 'cpu', priority: 0, rank: 0 }])
    await vi.waitFor(async () => expect(await queueOf('cpu')).toBe(1), WAIT)
    expect(await unsent()).toBeGreaterThan(0)
    await vi.waitFor(async () => expect(await unsent()).toBe(0), { timeout: 40_000, interval: 500 })
  })
})
