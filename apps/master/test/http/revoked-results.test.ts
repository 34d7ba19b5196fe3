/** What a worker answered before it was found out: never used again, seen, and done anew. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { UnitDraft } from '../../src/jobs/definition.ts'
import { insertUnits } from '../../src/jobs/units.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())
beforeEach(async () => {
  await one.deps.db.deleteFrom('jobs').execute()
  await one.deps.db.deleteFrom('workers').execute()
  for (const id of ['liar', 'honest'])
    await one.deps.db.insertInto('workers').values({ id, name: id, hostname: 'desk' }).execute()
  one.planned.length = 0
})

const draft = (index: number): UnitDraft => ({
  task: 'transcribe.chunk',
  index,
  queue: 'cpu',
  input: { key: `units/x/chunk-${index}.wav`, sha256: `sha256 of the audio ${index}` },
  params: { model: 'base' },
  blobs: {},
  span: {},
  seconds: 10,
  deadlineMs: 60_000
})

/** A transcription of two chunks, planned as the engine does. */
async function planJob(reuse = true): Promise<string> {
  const id = randomUUID()
  const job = { id, task: 'transcribe', input: JSON.stringify({ model: 'auto' }), key_id: 'test', planned: true }
  await one.deps.db.insertInto('jobs').values(job).execute()
  await insertUnits(one.deps.db, { id, generation: 0 }, [draft(0), draft(1)], reuse)
  return id
}

async function answer(jobId: string, index: number, workerId: string, output: unknown = workerId): Promise<void> {
  await one.deps.db
    .updateTable('units')
    .set({ status: 'DONE', worker_id: workerId, attempt_id: 'a', output: JSON.stringify(output) })
    .where('job_id', '=', jobId)
    .where('index', '=', index)
    .execute()
}

async function end(jobId: string, status: 'COMPLETED' | 'FAILED' | 'CANCELLED' = 'COMPLETED'): Promise<void> {
  const set = { status, finished_at: new Date(), told: true, output: JSON.stringify('made up') }
  await one.deps.db.updateTable('jobs').set(set).where('id', '=', jobId).execute()
}

const unitsOf = (jobId: string) =>
  one.deps.db
    .selectFrom('units')
    .select(['index', 'status', 'output', 'made_by'])
    .where('job_id', '=', jobId)
    .orderBy('index')
    .execute()
const revoke = () => one.app.inject({ method: 'DELETE', url: '/api/workers/liar', headers: one.bearer('admin') })
const get = async (url: string) => (await one.app.inject({ url, headers: one.bearer('read') })).json()
const redo = (headers = one.bearer('admin')) =>
  one.app.inject({ method: 'POST', url: '/api/workers/liar/redo', headers })

it('a result of a worker that was revoked is never reused, neither the one it made nor a copy of it', async () => {
  const first = await planJob(false)
  await answer(first, 0, 'liar')
  await answer(first, 1, 'honest')
  const copy = await planJob()
  expect(await unitsOf(copy)).toMatchObject([
    { status: 'DONE', output: 'liar', made_by: 'liar' },
    { status: 'DONE', output: 'honest', made_by: 'honest' }
  ])
  await revoke()
  const later = [
    { status: 'QUEUED', output: null },
    { status: 'DONE', output: 'honest' }
  ]
  expect(await unitsOf(await planJob())).toMatchObject(later)
  // The job that it worked for is gone, the copy is not.
  await one.deps.db.deleteFrom('jobs').where('id', '=', first).execute()
  expect(await unitsOf(await planJob())).toMatchObject(later)
  // Done again by somebody else, it is reused from there.
  await answer(copy, 0, 'honest', 'right')
  await one.deps.db.updateTable('units').set({ made_by: null }).where('job_id', '=', copy).execute()
  expect(await unitsOf(await planJob())).toMatchObject([{ status: 'DONE', output: 'right' }, { status: 'DONE' }])
})

it('a result of which nobody knows the worker is not reused', async () => {
  const before = await planJob(false)
  await answer(before, 0, 'honest')
  await one.deps.db.updateTable('units').set({ worker_id: null }).where('job_id', '=', before).execute()
  expect(await unitsOf(await planJob())).toMatchObject([{ status: 'QUEUED' }, { status: 'QUEUED' }])
})

it('a revoked worker stays listed with the jobs that it touched, page by page', async () => {
  const [touched, failed, other] = [await planJob(false), await planJob(false), await planJob(false)]
  for (const [jobId, worker] of [
    [touched, 'liar'],
    [failed, 'liar'],
    [other, 'honest']
  ] as const) {
    await answer(jobId, 0, worker)
    await end(jobId)
  }
  await one.deps.db.updateTable('units').set({ status: 'FAILED' }).where('job_id', '=', failed).execute()
  const copy = await planJob()
  await one.deps.db.updateTable('units').set({ made_by: 'liar' }).where('job_id', '=', copy).execute()
  expect((await get('/api/workers/revoked')).items).toEqual([])
  await revoke()
  expect((await get('/api/workers/revoked')).items).toMatchObject([{ id: 'liar', name: 'liar', hostname: 'desk' }])
  const first = await get('/api/workers/liar/jobs?limit=2')
  const second = await get(`/api/workers/liar/jobs?limit=2&cursor=${first.nextCursor}`)
  expect([...first.items, ...second.items].map(({ jobId }) => jobId)).toEqual([copy, failed, touched])
  expect(second.nextCursor).toBeNull()
  expect(await get('/api/workers/nobody/jobs')).toMatchObject({ code: 'SC_NOT_FOUND' })
})

it('one call does all of them anew, once; what was cancelled stays', async () => {
  const [complete, open, cancelled, other] = [
    await planJob(false),
    await planJob(false),
    await planJob(false),
    await planJob(false)
  ]
  for (const jobId of [complete, open, cancelled]) await answer(jobId, 0, 'liar')
  for (const jobId of [complete, other]) await answer(jobId, 1, 'honest')
  await end(complete)
  await end(other)
  await end(cancelled, 'CANCELLED')
  expect((await redo()).json()).toMatchObject({ code: 'SC_BAD_REQUEST' })
  await revoke()
  expect((await redo(one.bearer('submit'))).statusCode).toBe(403)
  const answered = await redo()
  expect([answered.statusCode, answered.json().more]).toEqual([202, false])
  expect(answered.json().items).toEqual([
    { jobId: open, status: 'PENDING' },
    { jobId: complete, status: 'PENDING' }
  ])
  expect(one.planned.toSorted()).toEqual([complete, open].toSorted())
  for (const jobId of [complete, open]) {
    expect(await unitsOf(jobId)).toEqual([])
    expect(await get(`/api/jobs/${jobId}`)).toMatchObject({ status: 'PENDING', error: null, finishedAt: null })
    expect(await get(`/api/jobs/${jobId}/result`)).toMatchObject({ code: 'SC_NOT_FINISHED' })
  }
  expect(await get(`/api/jobs/${other}`)).toMatchObject({ status: 'COMPLETED' })
  expect((await get('/api/workers/liar/jobs')).items).toMatchObject([{ jobId: cancelled, status: 'CANCELLED' }])
  expect((await redo()).json()).toMatchObject({ items: [], more: false })
})

it('a task of one unit is queued again with the input that it had', async () => {
  const id = randomUUID()
  const job = { id, task: 'word-count', input: '{}', key_id: 'test', single: true, planned: true }
  await one.deps.db.insertInto('jobs').values(job).execute()
  const input = { text: 'one two' }
  const unit = { ...draft(0), task: 'word-count', input: null, params: input }
  await insertUnits(one.deps.db, { id, generation: 0 }, [unit], true)
  await answer(id, 0, 'liar', { words: 7 })
  await end(id)
  await revoke()
  expect((await redo()).json().items).toEqual([{ jobId: id, status: 'PENDING' }])
  const again = one.deps.db.selectFrom('units').selectAll().where('job_id', '=', id)
  expect(await again.execute()).toMatchObject([{ status: 'QUEUED', worker_id: null, output: null, params: input }])
  expect(await get(`/api/jobs/${id}`)).toMatchObject({ status: 'PENDING' })
})
