import { type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { connectDatabase } from '../../src/database/connect.ts'
import type { Database, Tables } from '../../src/database/schema.ts'
import { makeDue } from '../../src/jobs/due-units.ts'
import { takeTurn } from '../../src/jobs/fair-share.ts'
import { readPlaces } from '../../src/jobs/queue-places.ts'
import { createQueuesToLookAt } from '../../src/jobs/queues-to-look-at.ts'
import type { SelectedJob } from '../../src/jobs/select-jobs.ts'
import { markHead } from '../../src/jobs/send-next.ts'
import type { TaskRequest } from '../../src/jobs/submit-task.ts'
import { lateUnits } from '../../src/jobs/wait-timeouts.ts'
import { createTestDatabase } from '../database.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 2, reported: 0 }

describe('a unit that is not due', () => {
  const at = useEngine()

  async function submit(change: Partial<TaskRequest> = {}): Promise<string> {
    const request = { task: 'word-count', queue: 'cpu', input: { text: 'one' }, priority: 0, attempts: undefined }
    const how = { timeoutMs: null, runAt: null, keyId: 'test', idempotencyKey: null, requestHash: 'x' }
    return (await at.engine.submitTask({ ...request, ...how, ...change })).jobId
  }
  const unitOf = async (jobId: string) => (await at.world.units(jobId))[0]

  it('waits for its time, and then goes before what is behind it', async () => {
    at.world.slots.set('cpu', 1)
    const runAt = new Date(Date.now() + 1_500)
    const delayed = await submit({ runAt, priority: 100, waitTimeoutMs: 60_000 })
    const other = await submit()
    const waitUntil = new Date(runAt.getTime() + 60_000)
    expect(await unitOf(delayed)).toMatchObject({ is_due: false, not_before: runAt, wait_until: waitUntil })
    expect(await unitOf(other)).toMatchObject({ is_due: true, not_before: null, wait_until: null })
    expect((await at.world.takeOne()).units[0].jobId).toBe(other)
    await submit()
    await vi.waitFor(async () => expect((await unitOf(delayed))?.entry).not.toBeNull(), WAIT)
    expect(Date.now()).toBeGreaterThanOrEqual(runAt.getTime())
    expect((await at.world.takeOne()).units[0].jobId).toBe(delayed)
    expect(await unitOf(delayed)).toMatchObject({ is_due: true, not_before: runAt, wait_until: waitUntil })
    at.world.slots.delete('cpu')
  })

  it('is one that failed, too, until its pause is over', async () => {
    const jobId = await submit({ waitTimeoutMs: 60_000 })
    const { units } = await at.world.takeOne()
    const about = { unitId: units[0].unitId, attemptId: 'a-1', slot: 'cpu-0' }
    await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
    const error = { code: 'SC_TASK_FAILED' as const, title: 'x', detail: 'it fell over' }
    await at.world.say('w-1', { type: 'error', ...about, error, retryable: true, timings: TIMINGS })
    await vi.waitFor(async () => expect(await unitOf(jobId)).toMatchObject({ attempts: 1, is_due: false }), WAIT)
    const unit = await unitOf(jobId)
    expect(unit?.wait_until?.getTime()).toBe((unit?.not_before?.getTime() ?? 0) + 60_000)
    expect((await at.world.takeOne()).units[0].jobId).toBe(jobId)
    expect(await unitOf(jobId)).toMatchObject({ is_due: true, dispatch: 1 })
  })

  it('is made due by one of two masters', async () => {
    const other = await at.world.startMaster('two')
    try {
      const runAt = new Date(Date.now() + 700)
      const jobIds = await Promise.all(Array.from({ length: 40 }, () => submit({ runAt })))
      const { rows } = await sql<{ count: number }>`
        select count(*)::integer as count from units where not is_due`.execute(at.world.db)
      expect(rows[0]?.count).toBe(40)
      await vi.waitFor(async () => {
        const units = await Promise.all(jobIds.map(unitOf))
        expect(units.every(unit => unit?.is_due)).toBe(true)
      }, WAIT)
    } finally {
      await other.stop()
    }
  })
})

/** In a database that counted its rows before they were there. */
describe('100,000 units that are not due, before 20 that are', { timeout: 120_000 }, () => {
  const DELAYED = 100_000
  /** All that a look reads of tables and indexes; they have thousands. */
  const MOST_PAGES = 100
  let database: Awaited<ReturnType<typeof createTestDatabase>>
  let db: Database
  let byIndexes: Database

  beforeAll(async () => {
    database = await createTestDatabase()
    db = connectDatabase(database.url, () => {})
    byIndexes = connectDatabase(database.url, () => {}, 1, true)
    for (const table of ['units', 'jobs'])
      await sql`alter table ${sql.table(table)} set (autovacuum_enabled = false)`.execute(db)
    await sql`vacuum analyze`.execute(db)
    const later = sql`now() + interval '1 year'`
    await addJobs('delayed', 'their', DELAYED, 100, later)
    await sql`
      insert into units (id, job_id, task, index, queue, params, deadline_ms, rank, priority, not_before, is_due, wait_until)
      select id, id, task, 0, 'cpu', '{}', 1000, n, 100, ${later}, false, ${later}
      from jobs, substr(id, 9) as text, cast(text as integer) as n`.execute(db)
    await addJobs('due', 'own', 20, 0, sql`null`)
    await sql`
      insert into units (id, job_id, task, index, queue, params, deadline_ms, rank)
      select id, id, task, 0, 'cpu', '{}', 1000, substr(id, 5)::integer from jobs where key_id = 'own'`.execute(db)
  })
  afterAll(async () => {
    await Promise.all([db.destroy(), byIndexes.destroy()])
    await database.drop()
  })

  async function addJobs(name: string, keyId: string, count: number, priority: number, runAt: ReturnType<typeof sql>) {
    await sql`
      insert into jobs (id, task, input, key_id, single, planned, priority, run_at, wait_timeout_ms)
      select ${name}::text || '-' || n, 'x', '{}', ${keyId}, true, true, ${priority}::integer, ${runAt}, 100
      from generate_series(1, ${count}::integer) as n`.execute(db)
  }

  /** By this connection. */
  async function pagesRead(trx: Kysely<Tables>): Promise<number> {
    const { rows } = await sql<{ pages: number }>`
      select sum(pg_stat_get_xact_blocks_fetched(oid))::float8 as pages from pg_class
      where oid in ('units'::regclass, 'jobs'::regclass)
        or oid in (select indexrelid from pg_index where indrelid in ('units'::regclass, 'jobs'::regclass))`.execute(
      trx
    )
    return rows[0]?.pages ?? Number.NaN
  }

  /** What a step answers, which must read few pages, and is taken back. */
  async function measured<T>(on: Database, step: (trx: Kysely<Tables>) => Promise<T>): Promise<T> {
    let answer: T | undefined
    let pages = 0
    const done = new Error('taken back')
    const running = on.transaction().execute(async trx => {
      const before = await pagesRead(trx)
      answer = await step(trx)
      pages = (await pagesRead(trx)) - before
      throw done
    })
    await expect(running).rejects.toBe(done)
    expect(pages).toBeLessThan(MOST_PAGES)
    return answer as T
  }

  it('the head of the queue', async () => {
    const head = { most: 8, together: {}, slots: 1, taken: [], mostBytes: 1e9 }
    const { units } = await measured(byIndexes, trx => markHead(trx, 'cpu', head))
    expect(units.map(({ id }) => id)).toEqual(expect.arrayContaining(['due-1', 'due-8']))
    expect(units.length).toBe(8)
  })

  it('the queues in which something waits', async () => {
    const room = { look: async () => {}, large: () => [], of: () => 1, has: () => {} }
    const others = { isServed: () => true, isAwaited: () => true, onKnown: () => {}, queues: { names: () => [] } }
    expect(await measured(byIndexes, trx => createQueuesToLookAt({ db: trx, room, ...others })())).toEqual(['cpu'])
  })

  it('the place of a job', async () => {
    const job = { id: 'due-5', status: 'PENDING', next_queue: 'cpu', next_priority: 0, next_rank: 5, next_queued_us: 0 }
    const places = await measured(byIndexes, trx => readPlaces(trx as never, [job as SelectedJob]))
    expect([...places]).toEqual([['due-5', 4]])
  })

  it('the rank of a further job of their key', async () => {
    const { rows } = await measured(byIndexes, trx => takeTurn({ id: 'new', key_id: 'their' }).execute(trx))
    expect(rows).toEqual([{ rank: 0 }])
  })

  it('those that have waited too long', async () => {
    expect(await measured(byIndexes, lateUnits)).toEqual([])
    const found = await measured(byIndexes, async trx => {
      await sql`update units set wait_until = now() - interval '1 s' where id = 'due-3'`.execute(trx)
      return await lateUnits(trx)
    })
    expect(found).toEqual([{ id: 'due-3', job_id: 'due-3' }])
  })

  it('those whose time has come, a thousand at once', async () => {
    expect(await measured(byIndexes, makeDue)).toEqual([])
    await sql`update units set not_before = now() - interval '1 s' where rank between 5000 and 6499 and not is_due`.execute(
      db
    )
    const at = { queue: 'cpu', priority: 100, rank: expect.any(Number) }
    expect(await makeDue(byIndexes)).toEqual(Array.from({ length: 1_000 }, () => at))
    expect((await makeDue(byIndexes)).length).toBe(500)
    expect(await makeDue(byIndexes)).toEqual([])
  })
})
