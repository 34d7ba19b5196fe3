/** Which jobs are planned, by whom: the planner with real rows, and plans that end when the test says so. */
import { randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { createLog } from '@sc/shared/log.ts'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { connectDatabase } from '../../src/database/connect.ts'
import type { Database } from '../../src/database/schema.ts'
import { type Planner, startPlanner } from '../../src/jobs/planner.ts'
import { createTestDatabase } from '../database.ts'

const HOURS = 25 * 3600
const WAIT = { timeout: 15_000, interval: 20 }
let db: Database
let drop: () => Promise<void>
beforeAll(async () => {
  const database = await createTestDatabase()
  db = connectDatabase(database.url, () => {})
  drop = async () => {
    await db.destroy()
    await database.drop()
  }
})
afterAll(() => drop())

const planners: Planner[] = []
afterEach(async () => {
  for (const planner of planners.splice(0)) await planner.stop()
  await db.deleteFrom('jobs').execute()
})

interface Run {
  jobId: string
  triesLeft: number
  signal: AbortSignal
  end(error?: Error): void
}

/** A master that plans; its plans are under way until they are ended. */
function startMaster(consumer = 'one', { listens = true } = {}): Run[] {
  const runs: Run[] = []
  const run = async (jobId: string, triesLeft: number, signal: AbortSignal): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    if (listens) signal.addEventListener('abort', () => reject(signal.reason))
    runs.push({ jobId, triesLeft, signal, end: error => (error ? reject(error) : resolve()) })
    await promise
    await db.updateTable('jobs').set({ planned: true }).where('id', '=', jobId).execute()
  }
  planners.push(startPlanner({ db, log: createLog('test', 'silent'), consumer, lightTasks: () => ['light'], run }))
  return runs
}

let count = 0
async function submit(keyId: string, seconds: number | null, columns: { task?: string; priority?: number } = {}) {
  const id = `${keyId}-${randomUUID()}`
  // Each a moment after the one before.
  const created_at = new Date(Date.now() - 3_600_000 + 10 * count++)
  const job = { id, task: 'transcribe', input: '{}', key_id: keyId, duration_seconds: seconds, created_at, ...columns }
  await db.insertInto('jobs').values(job).execute()
  return id
}

const begun = (runs: Run[], ids: string[]) =>
  vi.waitFor(() => expect(runs.map(({ jobId }) => jobId).sort()).toEqual([...ids].sort()), WAIT)
/** Everything that may be begun has been: a job that came later was. */
async function looked(...masters: Run[][]): Promise<void> {
  const id = await submit(`key-${randomUUID()}`, 11)
  await vi.waitFor(() => expect(masters.flat().some(({ jobId }) => jobId === id)).toBe(true), WAIT)
  for (const runs of masters) {
    const at = runs.findIndex(({ jobId }) => jobId === id)
    if (at >= 0) runs.splice(at, 1)[0]?.end()
  }
}

it('recordings of one key, however many and long, leave places to others and to its own short ones', async () => {
  const long = [await submit('a', HOURS), await submit('a', HOURS), await submit('a', null), await submit('a', HOURS)]
  const runs = startMaster()
  await begun(runs, long.slice(0, 2))
  const others = [await submit('a', 11), await submit('b', 11), await submit('b', HOURS), await submit('c', null)]
  const light = await submit('a', null, { task: 'light' })
  await begun(runs, [...long.slice(0, 2), ...others, light])
  await looked(runs)
  expect(runs).toHaveLength(7)
  runs[0]?.end()
  await begun(runs, [...long.slice(0, 3), ...others, light])
})

it('places go to the key that has fewest, not to who came first', async () => {
  // Six long ones at once: two of each of three keys.
  const first: string[] = []
  for (const keyId of ['a', 'a', 'b', 'b', 'c', 'c']) first.push(await submit(keyId, HOURS))
  const runs = startMaster()
  await begun(runs, first)
  await submit('a', HOURS)
  const urgent = [await submit('d', HOURS), await submit('d', HOURS, { priority: 50 })]
  await looked(runs)
  expect(runs).toHaveLength(6)
  runs.find(({ jobId }) => jobId === first[0])?.end()
  await begun(runs, [...first, urgent[1] as string])
})

it('two masters share, and each job has one plan', async () => {
  const all = await Promise.all(Array.from({ length: 8 }, (_, at) => submit(`key-${at}`, HOURS)))
  const [one, two] = [startMaster('one'), startMaster('two')]
  await vi.waitFor(() => expect(one.length + two.length).toBe(8), WAIT)
  await looked(one, two)
  expect([...one, ...two].map(({ jobId }) => jobId).sort()).toEqual(all.sort())
})

it('what a killed master had under way runs again: at once after its restart, elsewhere when its lease is over', async () => {
  const [own, others] = [await submit('a', HOURS), await submit('b', HOURS)]
  const lease = async (jobId: string, owner: string, until: string) =>
    await sql`insert into plans (job_id, owner, until) values (${jobId}, ${owner}, now() + ${until}::interval)`.execute(
      db
    )
  await lease(own, 'one/killed', '1 hour')
  await lease(others, 'two/killed', '3 seconds')
  const runs = startMaster('one')
  await begun(runs, [own])
  await begun(runs, [own, others])
})

it('a plan that ended with its master loses a try, and one that was given back does not', async () => {
  const [killed, given] = [await submit('a', HOURS), await submit('b', HOURS)]
  const row = (jobId: string, until: string) =>
    sql`
    insert into plans (job_id, owner, until, tries) values (${jobId}, 'one/killed', ${until}::timestamptz, 3)`.execute(
      db
    )
  await row(killed, '2100-01-01')
  await row(given, '-infinity')
  const runs = startMaster('one')
  await begun(runs, [killed, given])
  const left = new Map(runs.map(({ jobId, triesLeft }) => [jobId, triesLeft]))
  expect([left.get(killed), left.get(given)]).toEqual([-1, 0])
})

it('a lease that another master took ends the plan here', async () => {
  const jobId = await submit('a', HOURS)
  const runs = startMaster()
  await begun(runs, [jobId])
  await sql`update plans set owner = 'two/other', until = now() + interval '1 hour'`.execute(db)
  await vi.waitFor(() => expect(runs[0]?.signal.aborted).toBe(true), WAIT)
  await looked(runs)
  await vi.waitFor(
    async () =>
      expect(await db.selectFrom('plans').select(['owner', 'tries']).execute()).toEqual([
        { owner: 'two/other', tries: 0 }
      ]),
    WAIT
  )
  expect(runs).toHaveLength(1)
})

it('a plan that fails is tried again after a pause; one that is stopped loses no try', async () => {
  const jobId = await submit('a', 11)
  const runs = startMaster()
  await begun(runs, [jobId])
  runs[0]?.end(new ScError('SC_UNAVAILABLE', 'PostgreSQL was away.'))
  await begun(runs, [jobId, jobId])
  await planners.pop()?.stop()
  const after = startMaster()
  await begun(after, [jobId])
  expect([...runs, ...after].map(({ triesLeft }) => triesLeft)).toEqual([3, 2, 2])
  after[0]?.end()
  await vi.waitFor(async () => expect(await db.selectFrom('plans').selectAll().execute()).toEqual([]), WAIT)
})

it('a plan that does not listen holds no master up, and runs on the next one at once', async () => {
  const jobId = await submit('a', null, { task: 'light' })
  const runs = startMaster('one', { listens: false })
  await begun(runs, [jobId])
  await planners.pop()?.stop()
  await begun(startMaster('two'), [jobId])
})
