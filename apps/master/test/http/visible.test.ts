import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Scope } from '../../src/database/schema.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'
import { changeJob, finishChunk, insertChunk, insertTranscription } from './transcription-rows.ts'

/** Two who may submit, and who sees what of whom. */
let one: TestApp
let ann: Caller
let ben: Caller
beforeAll(async () => {
  one = await startApp()
  await registerTasks(one, 'desk-1', [WORD_COUNT])
  ;[ann, ben] = [await makeCaller(['submit']), await makeCaller(['submit'])]
})
afterAll(() => one.release())

interface Caller {
  headers: Record<string, string>
  keyId: string
  task: string
  transcription: string
  schedule: string
  delivery: string
}

async function makeCaller(scopes: Scope[]): Promise<Caller> {
  const { db } = one.deps
  const { key, keyId } = await createKey(db, { name: 'caller', scopes })
  const headers = { authorization: `Bearer ${key}` }
  const post = async (url: string, payload: object) =>
    (await one.app.inject({ method: 'POST', url, headers, payload })).json()
  const input = { text: 'one two' }
  const { jobId: task } = await post('/api/tasks/word-count', { input })
  const { scheduleId: schedule } = await post('/api/schedules', { task: 'word-count', input, cron: '30 2 * * *' })
  const transcription = await insertTranscription(db, { key_id: keyId })
  await insertChunk(db, transcription, 0, { status: 'FAILED' })
  for (const id of [task, transcription])
    await changeJob(db, id, { status: 'FAILED', finished_at: new Date(), planned: true })
  const delivery = randomUUID()
  const about = { key_id: keyId, generation: 0, host: 'hook.example', job_status: 'FAILED' as const }
  await db
    .insertInto('webhook_deliveries')
    .values({ ...about, id: delivery, job_id: transcription })
    .execute()
  return { headers, keyId, task, transcription, schedule, delivery }
}

const NAMES = /:(jobId|scheduleId|deliveryId)\b/
/** Where something of a caller's stands in the address. */
const named = () => one.app.routeTable.filter(({ url }) => NAMES.test(url))
const addressOf = (url: string, { task, transcription, schedule, delivery }: Caller): string =>
  url
    .replace(':scheduleId', schedule)
    .replace(':deliveryId', delivery)
    .replace(':jobId', url.startsWith('/transcribe') ? transcription : task)
    .replace(/:\w+/g, 'some-id')
const ask = async (method: string, url: string, headers: Record<string, string>, payload?: object) =>
  await one.app.inject({ method: method as 'GET', url, headers, ...(payload && { payload }) })
const idsIn = async (url: string, { headers }: Pick<Caller, 'headers'>): Promise<string[]> =>
  (await ask('GET', url, headers))
    .json<{ items: Array<{ jobId?: string; scheduleId?: string }> }>()
    .items.map(({ jobId, scheduleId }) => jobId ?? scheduleId ?? '')

describe('a key that may submit and not read', () => {
  it('finds nothing of another key behind any route', async () => {
    expect(named().length).toBeGreaterThan(15)
    for (const { method, url, scope } of named()) {
      const what = `${method} ${url}`
      expect(['read', 'submit'], what).toContain(scope)
      const answer = await ask(method, addressOf(url, ben), ann.headers)
      expect(answer.statusCode, what).toBe(404)
      if (method !== 'HEAD') expect(answer.json().code, what).toBe('SC_NOT_FOUND')
    }
    const { status } = await one.deps.db
      .selectFrom('jobs')
      .select('status')
      .where('id', '=', ben.task)
      .executeTakeFirstOrThrow()
    expect(status).toBe('FAILED')
    expect(await idsIn('/api/schedules', ben)).toEqual([ben.schedule])
  })

  it('reaches all of its own', async () => {
    const mine = await makeCaller(['submit'])
    // What deletes comes last.
    const routes = named().sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'))
    for (const { method, url } of routes) {
      const answer = await ask(method, addressOf(url, mine), mine.headers)
      expect([200, 202, 204, 409], `${method} ${url}: ${answer.body}`).toContain(answer.statusCode)
    }
  })

  it('lists its own jobs and schedules, and counts them', async () => {
    expect((await idsIn('/api/jobs', ann)).sort()).toEqual([ann.task, ann.transcription].sort())
    expect(await idsIn(`/api/jobs?status=FAILED&task=transcribe`, ann)).toEqual([ann.transcription])
    expect(await idsIn('/api/schedules', ann)).toEqual([ann.schedule])
    const totals = async (headers: Record<string, string>) => (await ask('GET', '/api/stats', headers)).json()
    const [own, all] = [await totals(ann.headers), await totals(one.bearer('read'))]
    expect(own.jobs).toMatchObject({ FAILED: 2, PENDING: 0 })
    expect(own.units.QUEUED).toBe(1)
    expect(own.lastMinute).toEqual({ jobsEnded: 2, unitsDone: 0, secondsDone: 0 })
    await finishChunk(one.deps.db, ann.transcription, 0, ['Hello.'])
    await one.deps.db
      .updateTable('units')
      .set({ finished_at: new Date() })
      .where('job_id', 'in', [ann.transcription, ben.transcription])
      .execute()
    expect((await totals(ann.headers)).lastMinute).toMatchObject({ unitsDone: 1, secondsDone: 10 })
    expect((await totals(ben.headers)).lastMinute).toMatchObject({ unitsDone: 0, secondsDone: 0 })
    expect(all.jobs.FAILED).toBeGreaterThanOrEqual(4)
    expect(all.units.QUEUED).toBeGreaterThanOrEqual(2)
  })

  it('begins only its own jobs again', async () => {
    const mine = await makeCaller(['submit'])
    const answer = await ask('POST', '/api/jobs/retry', mine.headers, { status: 'FAILED' })
    expect(answer.json().retried.sort()).toEqual([mine.task, mine.transcription].sort())
    expect((await ask('GET', `/api/jobs/${ann.task}`, ann.headers)).json().status).toBe('FAILED')
  })

  it('sees the tasks, its webhooks and the description of the API, and nothing else of the cluster', () => {
    const open = one.app.routeTable.filter(({ scope, own, url }) => !NAMES.test(url) && (own || scope === 'submit'))
    expect([...new Set(open.map(({ url }) => url))].sort()).toEqual([
      '/api/cluster/info',
      '/api/jobs',
      '/api/jobs/retry',
      '/api/schedules',
      '/api/stats',
      '/api/tasks',
      '/api/tasks/:name',
      '/api/webhooks',
      '/api/webhooks/:secretId',
      '/api/webhooks/deliveries',
      '/docs',
      '/docs/',
      '/docs/js/scalar.js',
      '/openapi.json',
      '/swagger',
      '/transcribe'
    ])
  })
})

it('a key that may read sees what everybody submitted, and changes nothing', async () => {
  const headers = one.bearer('read')
  expect(await idsIn('/api/jobs', { headers })).toEqual(expect.arrayContaining([ann.task, ben.task]))
  for (const { method, url, scope } of named()) {
    const answer = await ask(method, addressOf(url, ben), headers)
    expect(scope === 'read' ? [200, 409] : [403], `${method} ${url}`).toContain(answer.statusCode)
  }
})

it('a key that may submit and read cancels the jobs of others, too', async () => {
  const both = await makeCaller(['submit', 'read'])
  const { task } = await makeCaller(['submit'])
  await changeJob(one.deps.db, task, { status: 'PENDING', finished_at: null })
  expect((await ask('DELETE', `/api/jobs/${task}`, both.headers)).json()).toEqual({ jobId: task, status: 'CANCELLED' })
  expect(await idsIn('/api/schedules', both)).toEqual(expect.arrayContaining([both.schedule, ben.schedule]))
})

it('what a schedule submits is seen by the key that made it', async () => {
  const { key_id } = await one.deps.db
    .selectFrom('schedules')
    .select('key_id')
    .where('id', '=', ann.schedule)
    .executeTakeFirstOrThrow()
  expect(key_id).toBe(ann.keyId)
})

it('the same Idempotency-Key of two keys is two jobs', async () => {
  const send = async ({ headers }: Caller) =>
    (
      await ask(
        'POST',
        '/api/tasks/word-count',
        { ...headers, 'idempotency-key': 'night' },
        { input: { text: 'one two' } }
      )
    ).json().jobId
  const [first, again, other] = [await send(ann), await send(ann), await send(ben)]
  expect(again).toBe(first)
  expect(other).not.toBe(first)
})
