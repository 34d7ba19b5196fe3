import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, it, vi } from 'vitest'
import { markHead } from '../../src/jobs/send-next.ts'
import { readInPieces } from '../../src/jobs/sent-entries.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 20_000, interval: 50 }
const MB = 1024 ** 2
/** Compressed it is nothing. */
const LARGE = 'x'.repeat(1_000_000)
const LOOKS_MS = 1_500

describe('what inputs take of Redis', { timeout: 60_000 }, () => {
  const at = useEngine()

  const submit = (queue: string, units: number, salt = LARGE): Promise<string> =>
    at.world.insertJob({ units, queue, bare: true, salt })
  const planned = async (units: number) =>
    await vi.waitFor(async () => {
      const { rows } = await sql<{ count: number }>`select count(*)::integer as count from units`.execute(at.world.db)
      expect(rows[0]?.count).toBe(units)
    }, WAIT)
  /** Of the units that are in Redis. */
  const sent = async (): Promise<{ units: number; megabytes: number }> => {
    const { rows } = await sql<{ units: number; bytes: number }>`
      select count(*)::integer as units, coalesce(sum(octet_length(params::text)), 0)::float8 as bytes
      from units where entry is not null`.execute(at.world.db)
    const { units, bytes } = rows[0] as { units: number; bytes: number }
    return { units, megabytes: bytes / MB }
  }
  const inRedis = (queue: string): Promise<number> => at.world.redis.zcard(`sc:q:${queue}:prioritized`)
  const finish = ({ units: [{ unitId }] }: Taken): Promise<void> =>
    at.world.say('w-1', {
      type: 'result',
      unitId,
      attemptId: randomUUID(),
      slot: 's',
      output: 1,
      timings: { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
    })

  it('is 32 MB of a queue at most, however well they compress and however many slots are claimed', async () => {
    at.world.slots.set('cpu', 256)
    try {
      await submit('cpu', 50)
      await at.engine.stop()
      await at.start()
      await planned(50)
      await vi.waitFor(async () => expect((await sent()).units).toBe(33), WAIT)
      await new Promise(resolve => setTimeout(resolve, LOOKS_MS))
      // Counted from what is there: it brings nothing more, and what is taken makes room for the next.
      expect((await sent()).units).toBe(33)
      expect((await sent()).megabytes).toBeLessThan(32)
      await finish(await at.world.takeOne())
      await vi.waitFor(async () => expect((await sent()).units).toBeGreaterThan(33), WAIT)
    } finally {
      at.world.slots.delete('cpu')
    }
  })

  it('is a quarter of Redis for all queues together, and a slot that waits gets its unit all the same', async () => {
    await at.world.redis.config('SET', 'maxmemory', 64 * MB)
    try {
      for (let n = 0; n < 8; n++) await submit(`cpu+many${n}`, 4)
      await at.engine.stop()
      await at.start()
      await planned(32)
      await vi.waitFor(async () => expect((await sent()).megabytes).toBeGreaterThan(14), WAIT)
      await new Promise(resolve => setTimeout(resolve, LOOKS_MS))
      // Of the last one a first unit goes where there is any room.
      expect((await sent()).megabytes).toBeLessThan(17)
      const other = await submit('cpu', 1)
      await at.engine.stop()
      await at.start()
      await planned(33)
      const taken = await at.world.takeOne()
      expect(taken.units[0].jobId).toBe(other)
    } finally {
      await at.world.redis.config('SET', 'maxmemory', 0)
    }
  })

  it('is nothing of a queue that nobody offers any more, until somebody does', async () => {
    const jobId = await submit('cpu+gone', 2, 'small')
    await at.engine.stop()
    await at.start()
    await vi.waitFor(async () => expect(await inRedis('cpu+gone')).toBe(2), WAIT)
    at.world.slots.set('cpu+gone', 0)
    try {
      // As if they had been sent long ago.
      const longAgo = { touched_at: new Date(0), sent_at: new Date(0) }
      await at.world.db.updateTable('units').set(longAgo).execute()
      await vi.waitFor(async () => expect((await sent()).units).toBe(0), WAIT)
      expect(await inRedis('cpu+gone')).toBe(0)
      await new Promise(resolve => setTimeout(resolve, LOOKS_MS))
      expect(await inRedis('cpu+gone')).toBe(0)
    } finally {
      at.world.slots.delete('cpu+gone')
    }
    for (let n = 0; n < 2; n++) await finish(await at.world.takeOne('cpu+gone'))
    await vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe('COMPLETED'), WAIT)
  })

  it('is counted the same of units that an older master wrote', async () => {
    await at.engine.stop()
    const head = { most: 100, together: {}, slots: 2, taken: [], mostBytes: 2.5 * MB }
    await at.start()
    at.world.slots.set('cpu+old', 0)
    try {
      await submit('cpu+old', 5)
      await at.engine.stop()
      await at.start()
      await planned(5)
      await at.world.db.updateTable('units').set({ params_bytes: null }).execute()
      const { units, bytes } = await markHead(at.world.db, 'cpu+old', head)
      expect([units.length, Math.round(bytes / 1e6)]).toEqual([2, 2])
      expect((await markHead(at.world.db, 'cpu+old', head)).units).toEqual([])
    } finally {
      at.world.slots.delete('cpu+old')
    }
  })

  it('is read again in pieces of whole entries', async () => {
    at.world.slots.set('cpu+read', 0)
    try {
      await submit('cpu+read', 12, 'small')
      await at.engine.stop()
      await at.start()
      await planned(12)
      const rows = await at.world.db.selectFrom('units').select(['id', 'queue', 'rank', 'index']).execute()
      const placed = rows.map(row => ({ ...row, entry: `e${row.index % 4}`, bytes: 2 * MB }))
      const pieces: string[][] = []
      for await (const piece of readInPieces(at.world.db, placed)) pieces.push(piece.map(({ id }) => id))
      const entryOf = new Map(placed.map(({ id, entry }) => [id, entry]))
      expect(pieces.map(ids => [...new Set(ids.map(id => entryOf.get(id)))])).toEqual([['e0'], ['e1'], ['e2'], ['e3']])
      expect(pieces.map(ids => ids.length)).toEqual([3, 3, 3, 3])
    } finally {
      at.world.slots.delete('cpu+read')
    }
  })
})
