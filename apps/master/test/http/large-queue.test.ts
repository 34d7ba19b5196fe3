import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectDatabase } from '../../src/database/connect.ts'
import { settledJobs } from '../../src/jobs/finish.ts'
import { markHead } from '../../src/jobs/send-next.ts'
import { startApp, type TestApp } from './start-app.ts'

/**
 * 100,000 units of one job and 1,000 jobs wait, in a database that counted its rows when all were done: what is answered
 * is what counting row by row gives, and none of it takes seconds.
 */
const UNITS = 100_000
const SINGLES = 1_000
/** A list of 50 jobs took 5 s. */
const LONGEST_MS = 1_500

let one: TestApp
beforeAll(async () => {
  one = await startApp()
  const { db } = one.deps
  await sql`alter table units set (autovacuum_enabled = false)`.execute(db)
  await sql`alter table jobs set (autovacuum_enabled = false)`.execute(db)
  await addJobs('done', 'COMPLETED', 2_000)
  await addUnits('done', 'DONE', 2_000, sql`'old'`, sql`now() - interval '1 hour'`)
  await sql`vacuum analyze units`.execute(db)
  await sql`vacuum analyze jobs`.execute(db)
  await addJobs('large', 'PENDING', 1, 'many')
  await sql`
    insert into units (id, job_id, task, index, queue, params, deadline_ms, rank, priority)
    select 'large-' || n, 'large-1', 'many', n, 'cpu', '{}', 1000, n, 0 from generate_series(1, ${UNITS}::integer) as n`.execute(
    db
  )
  await addJobs('single', 'PENDING', SINGLES)
  await addUnits('single', 'QUEUED', SINGLES, sql`case when n % 3 = 0 then 'gpu' else 'cpu' end`, sql`null`)
  await addJobs('unplanned', 'PENDING', 5)
  await addJobs('failed', 'FAILED', 3)
  await sql`update jobs set planned = true where id not like 'unplanned%'`.execute(db)
})
afterAll(() => one.release())

/** One second of age each, so that lists have an order; a third of them with a higher priority. */
async function addJobs(name: string, status: string, count: number, task = name): Promise<void> {
  await sql`
    insert into jobs (id, task, status, input, key_id, single, priority, created_at, finished_at)
    select ${name}::text || '-' || n, ${task}, ${status}, '{}', 'test', ${name} in ('single', 'done'), n % 3,
      now() - make_interval(secs => n), case when ${status} in ('PENDING', 'RUNNING') then null else now() end
    from generate_series(1, ${count}::integer) as n`.execute(one.deps.db)
}

type Sql = ReturnType<typeof sql>

async function addUnits(name: string, status: string, count: number, queue: Sql, finishedAt: Sql): Promise<void> {
  await sql`
    insert into units (id, job_id, task, index, queue, status, params, deadline_ms, rank, priority, not_before,
      is_due, finished_at)
    select ${name}::text || '-' || n, ${name}::text || '-' || n, ${name}, 0, ${queue}, ${status}, '{}', 1000, n * 10,
      n % 3, case when n % 7 = 0 then now() + interval '1 hour' end, n % 7 <> 0, ${finishedAt}
    from generate_series(1, ${count}::integer) as n`.execute(one.deps.db)
}

async function get<T>(url: string): Promise<T> {
  const startMs = performance.now()
  const answer = await one.app.inject({ url, headers: one.bearer('read') })
  expect(answer.statusCode, url).toBe(200)
  expect(performance.now() - startMs, `ms for ${url}`).toBeLessThan(LONGEST_MS)
  return answer.headers['content-type']?.includes('json') ? answer.json<T>() : (answer.body as T)
}

interface Job {
  jobId: string
  task: string
  status: string
  queuePosition: number | null
  units: { total: number; done: number; running: number; failed: number }
}
type Page = { items: Job[]; nextCursor: string | null }

async function naive<T>(query: ReturnType<typeof sql<T>>): Promise<T[]> {
  return (await query.execute(one.deps.db)).rows
}

test('lists of jobs, with every filter', async () => {
  const ids = (filter: Sql) =>
    naive(sql<{ id: string }>`select id from jobs where ${filter} order by created_at desc, id desc limit 100`)
  const filters: Array<[string, Sql]> = [
    ['', sql`true`],
    ['&status=PENDING', sql`status = 'PENDING'`],
    ['&status=RUNNING', sql`status = 'RUNNING'`],
    ['&status=FAILED', sql`status = 'FAILED'`],
    ['&task=many', sql`task = 'many'`],
    ['&task=none', sql`task = 'none'`],
    ['&status=COMPLETED&task=done', sql`status = 'COMPLETED' and task = 'done'`]
  ]
  for (const [filter, condition] of filters) {
    const { items } = await get<Page>(`/api/jobs?limit=100${filter}`)
    expect(
      items.map(({ jobId }) => jobId),
      filter
    ).toEqual((await ids(condition)).map(({ id }) => id))
  }
})

test('each job of a page has its place, counted up to 200 of a higher and 200 of the same priority', async () => {
  const rows = await naive(sql<{ id: string; ahead: number }>`
    with ready as (select * from units where status = 'QUEUED' and (not_before is null or not_before <= now()))
    select jobs.id, (
      least(200, (select count(*) from ready where queue = unit.queue and priority > unit.priority)) +
      least(200, (select count(*) from ready where queue = unit.queue and priority = unit.priority
        and (rank, queued_at) < (unit.rank, unit.queued_at))))::integer as ahead
    from jobs join units as unit on unit.job_id = jobs.id
    where jobs.task = 'single' and jobs.status = 'PENDING' order by jobs.created_at desc, jobs.id desc limit 30`)
  const { items } = await get<Page>('/api/jobs?task=single&limit=30')
  expect(items.map(({ jobId, queuePosition }) => ({ id: jobId, ahead: queuePosition }))).toEqual(rows)
  expect(new Set(rows.map(({ ahead }) => ahead)).size).toBeGreaterThan(10)
})

test('what goes next is read from the beginning of the queue, not from all of it', async () => {
  const db = connectDatabase(one.servers.databaseUrl, () => {}, 1, true)
  try {
    const { units, read } = await db.transaction().execute(async trx => {
      const { units } = await markHead(trx, 'cpu', { most: 200, together: {}, slots: 1, taken: [], mostBytes: 1e9 })
      const { rows } = await sql<{ read: string }>`
        select idx_tup_fetch + seq_tup_read as read from pg_stat_xact_user_tables where relname = 'units'`.execute(trx)
      await sql`update units set entry = null, sent_at = null where entry is not null`.execute(trx)
      return { units, read: Number(rows[0]?.read) }
    })
    expect(units.length).toBeGreaterThan(100)
    expect(read).toBeLessThan(2_000)
  } finally {
    await db.destroy()
  }
})

test('of all that are open, the jobs that are complete are found at once', async () => {
  const { db } = one.deps
  await addJobs('complete', 'RUNNING', 1)
  await addUnits('complete', 'DONE', 1, sql`'cpu'`, sql`now()`)
  await sql`update jobs set planned = true where id = 'complete-1'`.execute(db)
  const startMs = performance.now()
  expect((await settledJobs(db)).map(({ id }) => id)).toEqual(['complete-1'])
  expect(performance.now() - startMs).toBeLessThan(LONGEST_MS)
  await sql`delete from jobs where id = 'complete-1'`.execute(db)
})

test('a job that is not planned waits behind other jobs', async () => {
  const [row] = await naive(sql<{ ahead: number }>`
    select (least(200, count(*) filter (where priority > 2)) + least(200, count(*) filter (where priority = 2
      and created_at < (select created_at from jobs where id = 'unplanned-2'))))::integer as ahead
    from jobs where status in ('PENDING', 'RUNNING')`)
  expect((await get<Job>('/api/jobs/unplanned-2')).queuePosition).toBe(row?.ahead)
})

test('a job of 100,000 units, asked for by many at once and after its units changed', async () => {
  const total = { total: UNITS, done: 0, running: 0, failed: 0 }
  const answers = await Promise.all(Array.from({ length: 20 }, () => get<Job>('/api/jobs/large-1')))
  for (const { units, queuePosition } of answers)
    expect({ units, queuePosition }).toEqual({ units: total, queuePosition: 200 })
  await sql`update units set status = 'DONE', finished_at = now() where job_id = 'large-1' and index <= 300`.execute(
    one.deps.db
  )
  await sql`update units set status = 'RUNNING' where job_id = 'large-1' and index between 301 and 310`.execute(
    one.deps.db
  )
  await expect
    .poll(async () => (await get<Job>('/api/jobs/large-1')).units)
    .toEqual({ total: UNITS, done: 300, running: 10, failed: 0 })
  const { items } = await get<{ items: Array<{ index: number }> }>('/api/jobs/large-1/units?limit=1000')
  expect(items.map(({ index }) => index)).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 1))
})

test('figures of the whole are what counting row by row gives, also while more is done', async () => {
  const { db } = one.deps
  const count = async () => {
    const [row] = await naive(sql<Record<'QUEUED' | 'RUNNING' | 'done' | 'PENDING' | 'FAILED', number>>`
      select (select count(*) from units where status = 'QUEUED')::integer as "QUEUED",
        (select count(*) from units where status = 'RUNNING')::integer as "RUNNING",
        (select count(*) from units where status = 'DONE' and finished_at > now() - interval '1 minute')::integer as done,
        (select count(*) from jobs where status = 'PENDING')::integer as "PENDING",
        (select count(*) from jobs where status = 'FAILED')::integer as "FAILED"`)
    return row
  }
  const shown = async () => {
    const stats = await get<{
      units: { QUEUED: number; RUNNING: number }
      jobs: { PENDING: number; FAILED: number }
      lastMinute: { unitsDone: number }
    }>('/api/stats')
    const { PENDING, FAILED } = stats.jobs
    return { ...stats.units, done: stats.lastMinute.unitsDone, PENDING, FAILED }
  }
  const finish = (from: number, to: number, secondsAgo: Sql) =>
    sql`update units set status = 'DONE', finished_at = now() - make_interval(secs => ${secondsAgo})
      where job_id = 'large-1' and index between ${from}::integer and ${to}::integer`.execute(db)

  // Over more seconds than are counted again, and none so old that it leaves the minute meanwhile.
  await finish(1_001, 13_000, sql`15 + index % 15`)
  await expect.poll(shown).toEqual(await count())
  await finish(13_001, 20_000, sql`index % 5`)
  await expect.poll(shown).toEqual(await count())
  expect((await count())?.done).toBeGreaterThan(19_000)

  const { items } = await get<{ items: Array<{ queue: string; waiting: number; running: number }> }>(
    '/api/workers/queues'
  )
  const byQueue = await naive(sql<{ queue: string; waiting: number; running: number }>`
    select queue, (count(*) filter (where status = 'QUEUED'))::integer as waiting,
      (count(*) filter (where status = 'RUNNING'))::integer as running
    from units where status in ('QUEUED', 'RUNNING') group by queue order by queue`)
  expect(items.map(({ queue, waiting, running }) => ({ queue, waiting, running }))).toEqual(byQueue)
  const metrics = await get<string>('/metrics')
  const { QUEUED, RUNNING, PENDING } = (await count()) ?? {}
  for (const line of [
    `sc_units_open{status="QUEUED"} ${QUEUED}`,
    `sc_units_open{status="RUNNING"} ${RUNNING}`,
    `sc_jobs_open{status="PENDING"} ${PENDING}`
  ])
    expect(metrics).toContain(line)
})
