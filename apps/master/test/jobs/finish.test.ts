/** A merge that would take the master down, or did. */
import { sql } from 'kysely'
import { beforeEach, expect, it, vi } from 'vitest'
import type { JobDefinition } from '../../src/jobs/definition.ts'
import { type UnitAsText, unitsToMerge } from '../../src/jobs/units-to-merge.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }

/** Of each merge that was begun, what was counted by then. */
const begun: number[] = []
let fails = 0

/** One unit, and a merge that fails `fails` times. */
const kind: JobDefinition = {
  task: 'sum',
  async *plan() {
    yield {
      task: 'square',
      index: 0,
      queue: 'cpu',
      input: null,
      params: {},
      blobs: {},
      span: {},
      seconds: 1,
      deadlineMs: 60_000
    }
    return {}
  },
  merge: async job => {
    begun.push(job.merges_begun)
    if (begun.length <= fails) throw new Error('the disk is away')
    return { status: 'COMPLETED', error: null, gaps: [], language: null }
  }
}

const at = useEngine(async () => ({ definitions: () => [kind] }))
beforeEach(() => {
  begun.length = 0
  fails = 0
})

/** A job whose unit a worker has; `change` is written before it answers. */
async function answered(change: Record<string, unknown>): Promise<string> {
  const id = await at.world.insertJob({})
  await at.world.db.updateTable('jobs').set({ task: 'sum' }).where('id', '=', id).execute()
  const { unitId } = (await at.world.takeOne()).units[0]
  await at.world.db
    .updateTable('jobs')
    .set({ ...change })
    .where('id', '=', id)
    .execute()
  await at.world.say('w-1', { type: 'result', unitId, attemptId: 'a', slot: 's', output: 1, timings: TIMINGS })
  return id
}

const ended = (id: string, status: string) =>
  vi.waitFor(async () => expect((await at.world.job(id)).status).toBe(status), WAIT)

it('a merge that ended with its master three times is not begun a fourth time: the job fails', async () => {
  const id = await answered({ merges_begun: 3 })
  await ended(id, 'FAILED')
  expect(begun).toEqual([])
  const job = await at.world.job(id)
  expect(job.error).toMatchObject({ code: 'SC_INTERNAL', detail: expect.stringContaining('the master ended') })
  // Begun again by hand it is merged: what took the master down may have been mended.
  await vi.waitFor(async () => expect((await at.world.job(id)).told).toBe(true), WAIT)
  await at.world.db.updateTable('units').set({ status: 'FAILED' }).where('job_id', '=', id).execute()
  expect(await at.engine.retry(id)).not.toBeNull()
  expect(await at.world.job(id)).toMatchObject({ merges_begun: 0, status: 'PENDING' })
})

it('a merge is counted before it begins, and one that only failed does not count', async () => {
  fails = 1
  await ended(await answered({ merges_begun: 2 }), 'COMPLETED')
  expect(begun).toEqual([3, 3])
})

it.each([
  ['129 MB together', sql<string>`to_json(repeat('x', 135000000))`],
  // 30 MB of text, which becomes ten million objects.
  ['in memory', sql<string>`('[' || repeat('{},', 10000000) || '{}]')::json`]
])(
  'results that are too much to be held at once (%s) are an error, and are not read',
  async (what, output) => {
    const id = await at.world.insertJob({})
    await at.world.db.updateTable('jobs').set({ task: 'sum' }).where('id', '=', id).execute()
    const { unitId } = (await at.world.takeOne()).units[0]
    await at.world.db.updateTable('units').set({ status: 'DONE', output }).where('id', '=', unitId).execute()
    await vi.waitFor(async () => expect((await at.world.job(id)).planned).toBe(true), WAIT)
    await at.engine.stop()
    await at.start()
    await ended(id, 'FAILED')
    expect(begun).toEqual([])
    expect((await at.world.job(id)).error).toMatchObject({
      code: 'SC_TASK_FAILED',
      detail: expect.stringContaining(what)
    })
  },
  30_000
)

/** Units of a job that are done, each with an output of so many characters. */
async function doneUnits(outputs: Array<{ count: number; chars: number }>): Promise<string> {
  const id = await at.world.insertJob({})
  // Planned: no master is to look at it.
  await at.world.db.updateTable('jobs').set({ status: 'CANCELLED', planned: true }).where('id', '=', id).execute()
  let first = 0
  for (const { count, chars } of outputs) {
    await sql`
      insert into units (id, job_id, task, index, queue, params, deadline_ms, status, output)
      select ${id}::text || '.' || at, ${id}, 'square', at, 'cpu', json_build_object('at', at), 1000, 'DONE',
        to_json(repeat('x', ${chars}::integer - 2))
      from generate_series(${first}::integer, ${first + count - 1}::integer) as at`.execute(at.world.db)
    first += count
  }
  return id
}

it('results are read as text, in the order of the plan, and no more at once than is little in memory', async () => {
  const MB = 1024 ** 2
  const id = await doneUnits([
    { count: 2_500, chars: 10 },
    { count: 6, chars: 1.5 * MB },
    { count: 1, chars: 9 * MB },
    { count: 10, chars: 10 }
  ])
  const pages: UnitAsText[][] = []
  for await (const page of unitsToMerge(at.world.db, id).pages()) pages.push(page)
  const all = pages.flat()
  expect(all.map(({ params }) => JSON.parse(params))).toEqual(Array.from({ length: 2_517 }, (_, at) => ({ at })))
  expect(all[0]).toMatchObject({ output: '"xxxxxxxx"', status: 'DONE', error: null })
  expect(pages.slice(0, 2).map(({ length }) => length)).toEqual([1_000, 1_000])
  for (const page of pages) {
    const sizes = page.map(({ params, output }) => params.length + (output?.length ?? 0)).sort((a, b) => b - a)
    expect(sizes.slice(1).reduce((sum, size) => sum + size, 0)).toBeLessThan(4 * MB)
  }
}, 30_000)

it('the error of the first unit that failed is known without a look at the others', async () => {
  const id = await doneUnits([{ count: 5, chars: 10 }])
  const units = unitsToMerge(at.world.db, id)
  expect(await units.firstError()).toBeNull()
  const error = (detail: string) => JSON.stringify({ code: 'SC_TASK_FAILED', title: 'The task failed', detail })
  for (const [index, detail] of [
    [3, 'later'],
    [1, 'first']
  ] as const)
    await at.world.db
      .updateTable('units')
      .set({ status: 'FAILED', error: error(detail) })
      .where('job_id', '=', id)
      .where('index', '=', index)
      .execute()
  expect(await units.firstError()).toMatchObject({ detail: 'first' })
})
