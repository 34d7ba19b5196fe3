import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { ScheduleRow } from '../../src/database/schema.ts'
import type { Engine } from '../../src/jobs/engine.ts'
import { deleteSchedule, insertSchedule, type NewSchedule } from '../../src/jobs/schedule-rows.ts'
import { WORD_COUNT } from '../http/register-tasks.ts'
import { type ClusterOfOne, startClusterOfOne } from './cluster-of-one.ts'

const COSTLY = { ...WORD_COUNT, name: 'costly', inputSchema: { properties: { a: { uniqueItems: true } } } }
const WAIT = { timeout: 8_000, interval: 20 }
const LONG_AGO = new Date('2026-01-01T03:00:00Z')

let world: ClusterOfOne
const engines: Engine[] = []
const folder = mkdtempSync(join(tmpdir(), 'sc-schedules-'))
const JOB = `import { defineJob } from 'semantics-cluster'
import { z } from 'zod'
export default defineJob({
  name: 'nothing',
  input: z.object({}),
  output: z.number(),
  async *plan() {},
  merge: units => units.length
})
`

beforeAll(async () => {
  writeFileSync(join(folder, 'nothing.ts'), JOB)
  world = await startClusterOfOne({ tasksDir: folder })
  const tasks = JSON.stringify([WORD_COUNT, COSTLY])
  await world.db.insertInto('workers').values({ id: 'desk', name: 'desk', hostname: 'desk', tasks }).execute()
})
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.stop()
  await world.db.deleteFrom('schedules').execute()
  await world.db.deleteFrom('jobs').execute()
  await world.redis.flushall()
})
afterAll(async () => {
  await world?.release()
  rmSync(folder, { recursive: true, force: true })
})

const startMaster: ClusterOfOne['startMaster'] = async (...how) => {
  const engine = await world.startMaster(...how)
  engines.push(engine)
  return engine
}

/** A schedule of each day at three, which was due at `dueAt` and has not run since. */
async function schedule(dueAt: Date | null, change: Partial<NewSchedule> = {}): Promise<string> {
  const { scheduleId } = await insertSchedule(world.db, {
    name: null,
    task: 'word-count',
    input: { text: 'one two' },
    cron: '0 3 * * *',
    timezone: 'UTC',
    overlap: 'allow',
    priority: 0,
    attempts: undefined,
    timeoutMs: null,
    keyId: 'test',
    ...change
  })
  if (dueAt) await setDue(scheduleId, dueAt)
  return scheduleId
}

const setDue = (id: string, next_at: Date) =>
  world.db.updateTable('schedules').set({ next_at }).where('id', '=', id).execute()

const row = (id: string): Promise<ScheduleRow> =>
  world.db.selectFrom('schedules').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

const jobs = () => world.db.selectFrom('jobs').selectAll().execute()

const movedOn = (id: string) =>
  vi.waitFor(async () => expect((await row(id)).next_at.getTime()).toBeGreaterThan(Date.now()), WAIT)

describe('schedules', () => {
  it('run once each with two masters side by side, once for all that was missed', async () => {
    const ids = await Promise.all(Array.from({ length: 25 }, () => schedule(LONG_AGO)))
    await startMaster('one')
    await startMaster('two')
    for (const id of ids) await movedOn(id)
    // Both have looked again.
    const later = await schedule(LONG_AGO)
    await movedOn(later)
    const found = await jobs()
    const keys = found.map(job => job.idempotency_key).sort()
    expect(keys).toEqual([...ids, later].map(id => `schedule:${id}:${LONG_AGO.toISOString()}`).sort())
    expect((await row(later)).next_at.toISOString()).toMatch(/T03:00:00\.000Z$/)
    expect((await row(later)).next_at.getTime() - Date.now()).toBeLessThanOrEqual(24 * 3_600_000)
    expect(found.map(({ id }) => id)).toContain((await row(later)).last_job_id)
  })

  it('make jobs as a request would', async () => {
    const id = await schedule(LONG_AGO, { priority: 7, attempts: 2, timeoutMs: 1500, waitTimeoutMs: 600_000 })
    await startMaster()
    await movedOn(id)
    const [job] = await jobs()
    expect(job).toMatchObject({ task: 'word-count', single: true, priority: 7, max_attempts: 2, timeout_ms: 1500 })
    expect(job).toMatchObject({ input: { text: 'one two' }, key_id: 'test', run_at: null, wait_timeout_ms: 600_000 })
    await vi.waitFor(async () => {
      const taken = await world.take('cpu+word-count')
      expect(taken?.units[0]).toMatchObject({ jobId: job?.id, params: { text: 'one two' }, deadline: 1500 })
    }, WAIT)
  })

  it('submit once when a master died before it moved the time on', async () => {
    const id = await schedule(LONG_AGO)
    await startMaster()
    await movedOn(id)
    await setDue(id, LONG_AGO)
    await movedOn(id)
    expect(await jobs()).toHaveLength(1)
    await setDue(id, new Date(LONG_AGO.getTime() + 24 * 3_600_000))
    await movedOn(id)
    expect(await jobs()).toHaveLength(2)
  })

  it('do not run before their time, nor when they were deleted', async () => {
    await schedule(null)
    const gone = await schedule(LONG_AGO)
    expect(await deleteSchedule(world.db, gone)).toBe(true)
    await startMaster()
    await movedOn(await schedule(LONG_AGO))
    expect(await jobs()).toHaveLength(1)
  })

  it('go on when their task is not there, or takes no such input any more', async () => {
    const unknown = await schedule(LONG_AGO, { task: 'word-cuont' })
    const unfit = await schedule(LONG_AGO, { input: { txt: 'one' } })
    await startMaster()
    await movedOn(unknown)
    await movedOn(unfit)
    expect((await row(unknown)).last_error).toMatchObject({
      code: 'SC_TASK_UNKNOWN',
      detail: expect.stringContaining('Did you mean word-count?')
    })
    expect((await row(unfit)).last_error).toMatchObject({ code: 'SC_TASK_INPUT' })
    expect(await jobs()).toEqual([])
    await world.db.updateTable('schedules').set({ task: 'word-count' }).where('id', '=', unknown).execute()
    await setDue(unknown, LONG_AGO)
    await movedOn(unknown)
    expect(await row(unknown)).toMatchObject({ last_error: null, last_job_id: expect.any(String) })
  })

  it('go on beside one whose task an earlier version registered with a schema without end', async () => {
    const levels = Array.from({ length: 45 }, (_, at) => {
      const next = { $ref: `#/$defs/d${at + 1}` }
      return [`d${at}`, at === 44 ? {} : { allOf: [next, next] }]
    })
    const inputSchema = { $ref: '#/$defs/d0', $defs: Object.fromEntries(levels) }
    const tasks = JSON.stringify([{ ...WORD_COUNT, name: 'ladder', inputSchema }])
    await world.db.insertInto('workers').values({ id: 'old', name: 'old', hostname: 'old', tasks }).execute()
    const hostile = await schedule(LONG_AGO, { task: 'ladder', input: {} })
    const good = await schedule(new Date(LONG_AGO.getTime() + 1))
    startMaster()
    await movedOn(good)
    expect((await row(hostile)).last_error).toMatchObject({ code: 'SC_TASK_UNFIT' })
    await world.db.deleteFrom('workers').where('id', '=', 'old').execute()
  })

  it('do not wait for the inputs of another key to be checked', async () => {
    const input = { a: Array.from({ length: 33_000 }, (_, at) => [at]) }
    const costly: string[] = []
    for (let n = 0; n < 3; n++) costly.push(await schedule(LONG_AGO, { keyId: 'many', task: COSTLY.name, input }))
    const own = await schedule(LONG_AGO, { keyId: 'one' })
    await startMaster()
    await movedOn(own)
    expect((await row(own)).last_error).toBeNull()
    expect((await row(costly.at(-1) as string)).next_at).toEqual(LONG_AGO)
    for (const id of costly) await movedOn(id)
    expect((await row(costly.at(-1) as string)).last_error).toMatchObject({ code: 'SC_TASK_INPUT_COSTLY' })
  }, 20_000)

  it('do what their overlap says while the job before has not ended', async () => {
    const [skip, queue, allow] = await Promise.all(
      (['skip', 'queue', 'allow'] as const).map(overlap => schedule(LONG_AGO, { overlap }))
    )
    startMaster()
    for (const id of [skip, queue, allow] as string[]) await movedOn(id)
    const first = await row(queue as string)
    const later = new Date(LONG_AGO.getTime() + 24 * 3_600_000)
    for (const id of [skip, queue, allow] as string[]) await setDue(id, later)
    await movedOn(skip as string)
    await movedOn(allow as string)
    expect(await row(skip as string)).toMatchObject({ skipped_at: later, last_error: null })
    expect(await row(queue as string)).toMatchObject({ next_at: later, last_job_id: first.last_job_id })
    expect(await jobs()).toHaveLength(4)
    await world.db.updateTable('jobs').set({ status: 'COMPLETED' }).execute()
    await movedOn(queue as string)
    expect((await row(queue as string)).last_job_id).not.toBe(first.last_job_id)
    expect(await jobs()).toHaveLength(5)
  })

  it('of many keys at once leave connections to others', async () => {
    const ids: string[] = []
    for (let n = 0; n < 30; n++) ids.push(await schedule(LONG_AGO, { task: 'nothing', input: {}, keyId: `key-${n}` }))
    await startMaster()
    for (const id of ids) await movedOn(id)
    const rows = await Promise.all(ids.map(row))
    expect(rows.map(({ last_error, last_job_id }) => [last_error, typeof last_job_id])).toEqual(
      ids.map(() => [null, 'string'])
    )
  })

  it('wait while there is no room for new work', async () => {
    const id = await schedule(LONG_AGO)
    const full = await startMaster('full', await world.openRoom(Number.POSITIVE_INFINITY))
    await new Promise(resolve => setTimeout(resolve, 1_500))
    expect((await row(id)).next_at).toEqual(LONG_AGO)
    await full.stop()
    await startMaster()
    await movedOn(id)
    expect(await jobs()).toHaveLength(1)
  })
})
