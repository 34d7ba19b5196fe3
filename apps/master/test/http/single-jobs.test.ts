import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UnitRow } from '../../src/database/schema.ts'
import { keepLogs } from '../../src/jobs/keep-logs.ts'
import { notifyJob } from '../../src/jobs/settle.ts'
import { readEvents } from './event-stream.ts'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'
import { changeJob, insertChunk, insertTranscription } from './transcription-rows.ts'

let one: TestApp
let address = ''
beforeAll(async () => {
  one = await startApp()
  address = await one.listen()
  await registerTasks(one, 'desk-1', [WORD_COUNT], { queues: ['cpu+word-count', 'cpu'] })
})
afterAll(() => one.release())

const db = () => one.deps.db
const get = async (url: string) => await one.app.inject({ url, headers: one.bearer('read') })
const post = async (url: string, payload: object = {}) =>
  await one.app.inject({ method: 'POST', url, headers: one.bearer('admin'), payload })
const events = (jobId: string, headers: Record<string, string> = {}, onEvent?: Parameters<typeof readEvents>[2]) =>
  readEvents(`${address}/api/jobs/${jobId}/events`, { ...one.bearer('read'), ...headers }, onEvent)

async function submit(): Promise<{ jobId: string; unitId: string }> {
  const { jobId } = (await post('/api/tasks/word-count', { input: { text: 'one' } })).json()
  return { jobId, unitId: `${jobId}.word-count.0` }
}

async function changeUnit(unitId: string, change: Partial<Record<keyof UnitRow, unknown>>): Promise<void> {
  const set = change as object
  const { job_id } = await db()
    .updateTable('units')
    .set(set)
    .where('id', '=', unitId)
    .returning('job_id')
    .executeTakeFirstOrThrow()
  await notifyJob(db(), job_id)
}

async function log(unitId: string, message: string, level: 'debug' | 'info' | 'warn' | 'error' = 'info') {
  const line: Extract<OutboxMessage, { type: 'log' }> = {
    type: 'log',
    unitId,
    attemptId: 'a',
    ticket: 't',
    level,
    message
  }
  await db()
    .transaction()
    .execute(trx => keepLogs(trx, [{ workerId: 'w', message: line }], () => true))
}

const complete = (jobId: string, output: unknown) =>
  changeJob(db(), jobId, { status: 'COMPLETED', output: JSON.stringify(output), finished_at: new Date() })

describe('GET /api/jobs/{jobId}/result', () => {
  it('is refused with the status while there is none', async () => {
    const { jobId } = await submit()
    const early = await get(`/api/jobs/${jobId}/result`)
    expect([early.statusCode, early.json().code, early.json().jobStatus]).toEqual([409, 'SC_NOT_FINISHED', 'PENDING'])
    const error = JSON.stringify({ code: 'SC_TASK_FAILED', title: 'x', detail: 'no words' })
    await changeJob(db(), jobId, { status: 'FAILED', error })
    const never = await get(`/api/jobs/${jobId}/result`)
    expect([never.statusCode, never.json().code, never.json().jobStatus]).toEqual([409, 'SC_NO_RESULT', 'FAILED'])
    expect(never.json().detail).toMatch(/SC_TASK_FAILED, no words/)
    expect((await get('/api/jobs/none/result')).statusCode).toBe(404)
  })

  it('comes from the row, from a blob, and of a transcription is its document', async () => {
    const { jobId } = await submit()
    for (const output of [{ words: 1 }, null, [1, 'é']]) {
      await complete(jobId, output)
      expect((await get(`/api/jobs/${jobId}/result`)).json()).toEqual({ jobId, status: 'COMPLETED', output })
    }
    const large = { text: 'é'.repeat(300_000) }
    await one.deps.blobs.put(`results/${jobId}.json`, Buffer.from(JSON.stringify(large)))
    await changeJob(db(), jobId, { output: null, output_ref: `results/${jobId}.json` })
    const answer = await get(`/api/jobs/${jobId}/result`)
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(answer.json()).toEqual({ jobId, status: 'COMPLETED', output: large })

    const recording = await insertTranscription(db(), { status: 'PARTIAL' })
    await one.deps.blobs.put(`files/${recording}/transcription.json`, Buffer.from('{"transcription":"Hello"}'))
    expect((await get(`/api/jobs/${recording}/result`)).json()).toEqual({
      jobId: recording,
      status: 'PARTIAL',
      output: { transcription: 'Hello' }
    })
  })
})

describe('GET /api/jobs/{jobId}/logs', () => {
  it('comes in pages, from a level on', async () => {
    const { jobId, unitId } = await submit()
    for (const [at, level] of (['debug', 'info', 'warn', 'error', 'info'] as const).entries())
      await log(unitId, `line ${at}`, level)
    const found: string[] = []
    let cursor: string | null = '0'
    for (let pages = 0; cursor !== null && pages < 9; pages++) {
      const page: { items: Array<{ message: string }>; nextCursor: string | null } = (
        await get(`/api/jobs/${jobId}/logs?limit=2&cursor=${cursor}`)
      ).json()
      found.push(...page.items.map(({ message }) => message))
      cursor = page.nextCursor
    }
    expect(found).toEqual([0, 1, 2, 3, 4].map(at => `line ${at}`))
    const { items } = (await get(`/api/jobs/${jobId}/logs?level=warn`)).json()
    expect(items).toEqual([
      { at: expect.stringMatching(/Z$/), unitId, level: 'warn', message: 'line 2', fields: null },
      { at: expect.stringMatching(/Z$/), unitId, level: 'error', message: 'line 3', fields: null }
    ])
    expect((await get('/api/jobs/none/logs')).statusCode).toBe(404)
    for (const query of ['cursor=x', 'level=loud', 'limit=0'])
      expect((await get(`/api/jobs/${jobId}/logs?${query}`)).statusCode, query).toBe(400)
  })
})

describe('GET /api/jobs/{jobId}/events', () => {
  it('tells a task while it happens', async () => {
    const { jobId, unitId } = await submit()
    const steps: Array<() => Promise<void>> = [
      async () => {
        await changeUnit(unitId, { status: 'RUNNING', started_at: new Date(), worker_id: 'w', attempt_id: 'a' })
        await changeJob(db(), jobId, { status: 'RUNNING', started_at: new Date() })
      },
      () => log(unitId, 'half of it'),
      () => changeUnit(unitId, { fraction: 0.5, partial: JSON.stringify({ words: 7 }) }),
      async () => {
        await changeUnit(unitId, { status: 'DONE', fraction: 1, partial: null })
        await complete(jobId, { words: 14 })
      }
    ]
    const waited = new Set<string>()
    const all = await events(jobId, {}, async ({ event, data }) => {
      const state = event === 'status' ? data.status : event === 'progress' ? String(data.progress) : event
      if (['PENDING', 'RUNNING', 'log', '0.5'].includes(state) && !waited.has(state)) {
        waited.add(state)
        await steps.shift()?.()
      }
      return false
    })
    const one = (event: string) => all.filter(found => found.event === event)
    expect([...new Set(one('status').map(({ data }) => data.status))]).toEqual(['PENDING', 'RUNNING', 'COMPLETED'])
    expect(one('status')[0]?.data).toMatchObject({ task: 'word-count', units: { total: 1 } })
    expect(one('log').map(({ data }) => [data.message, data.unitId])).toEqual([['half of it', unitId]])
    expect(one('progress').find(({ data }) => data.progress === 0.5)?.data).toMatchObject({
      partial: { words: 7 },
      units: { running: 1 }
    })
    expect(one('result').map(({ data }) => data)).toEqual([{ jobId, output: { words: 14 } }])
    expect(all.at(-1)).toMatchObject({
      event: 'done',
      data: { jobId, status: 'COMPLETED', error: null, resultUrl: `${address}/api/jobs/${jobId}/result` }
    })
  })

  it('goes on after the last line of the log that was heard', async () => {
    const { jobId, unitId } = await submit()
    for (let at = 0; at < 450; at++) await log(unitId, `line ${at}`)
    const first = await events(jobId, {}, ({ data }) => data.message === 'line 1')
    const id = first.at(-1)?.id ?? ''
    await complete(jobId, 1)
    const rest = (await events(jobId, { 'last-event-id': id })).filter(({ event }) => event === 'log')
    expect(rest.map(({ data }) => data.message)).toEqual(Array.from({ length: 448 }, (_, at) => `line ${at + 2}`))
  })

  it('tells the segments and the log of a transcription, each once over a break', async () => {
    const jobId = await insertTranscription(db(), { status: 'RUNNING' })
    await insertChunk(db(), jobId, 0, { status: 'DONE', texts: ['a1', 'a2'] })
    await insertChunk(db(), jobId, 1, { status: 'RUNNING' })
    await changeUnit(`${jobId}.chunk.1`, { worker_id: 'w', attempt_id: 'a' })
    await log(`${jobId}.chunk.1`, 'loaded')
    const told = (all: Awaited<ReturnType<typeof events>>) =>
      all.flatMap(({ event, data }) => (event === 'segment' ? data.text : event === 'log' ? data.message : []))
    const first = await events(jobId, {}, ({ event }) => event === 'segment')
    expect(told(first)).toEqual(['a1'])
    const second = await events(jobId, { 'last-event-id': first.at(-1)?.id ?? '' }, ({ event }) => event === 'log')
    expect(told(second)).toEqual(['a2', 'loaded'])
    await changeJob(db(), jobId, { status: 'CANCELLED' })
    const third = await events(jobId, { 'last-event-id': second.at(-1)?.id ?? '' })
    expect(told(third)).toEqual([])
    expect(third.at(-1)?.data).toMatchObject({ status: 'CANCELLED', resultUrl: null })
  })

  it('knows no job that is not there', async () => {
    expect((await get('/api/jobs/none/events')).statusCode).toBe(404)
  })
})

describe('retries', () => {
  it('begin a failed job again, and refuse every other', async () => {
    const { jobId } = await submit()
    const early = await post(`/api/jobs/${jobId}/retry`)
    expect([early.statusCode, early.json().code, early.json().jobStatus]).toEqual([409, 'SC_NOT_FAILED', 'PENDING'])
    await changeUnit(`${jobId}.word-count.0`, { status: 'FAILED' })
    await changeJob(db(), jobId, { status: 'FAILED' })
    const answer = await post(`/api/jobs/${jobId}/retry`)
    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toMatchObject({ jobId, status: 'PENDING', statusUrl: expect.stringMatching(jobId) })
    expect((await post('/api/jobs/none/retry')).statusCode).toBe(404)
  })

  it('begin many again, by status, task and time, in pages', async () => {
    await db().deleteFrom('jobs').execute()
    const ids: string[] = []
    for (let at = 0; at < 5; at++)
      ids.push(await insertTranscription(db(), { status: 'FAILED', created_at: new Date((at + 1) * 1_000_000) }))
    const other = await insertTranscription(db(), { status: 'FAILED', task: 'word-count', single: true })
    const cancelled = await insertTranscription(db(), { status: 'CANCELLED', finished_at: new Date(0) })
    const before = new Date(4_500_000).toISOString()
    const first = (await post('/api/jobs/retry', { task: 'transcribe', before, limit: 3 })).json()
    expect(first.retried).toEqual([ids[3], ids[2], ids[1]])
    const { cursor, ...rest } = { cursor: first.nextCursor, task: 'transcribe', before, limit: 3 }
    expect((await post('/api/jobs/retry', { ...rest, cursor })).json()).toEqual({ retried: [ids[0]], nextCursor: null })
    expect(one.planned.slice(-4)).toEqual([ids[3], ids[2], ids[1], ids[0]])
    const bare = { method: 'POST', url: '/api/jobs/retry', headers: one.bearer('admin') } as const
    expect((await one.app.inject(bare)).json().retried).toEqual([other, ids[4]])
    expect((await post('/api/jobs/retry', { status: 'CANCELLED' })).json().retried).toEqual([cancelled])
    expect((await post('/api/jobs/retry', { status: 'COMPLETED' })).statusCode).toBe(400)
  })
})

describe('what is said of a job that waits', () => {
  it('is its place among the units of its queue, and how long it may take', async () => {
    await db().deleteFrom('jobs').execute()
    await expect.poll(async () => (await get('/api/workers/desk-1')).statusCode).toBe(200)
    const done = await submit()
    const timings = JSON.stringify({ waited: 2000, fetched: 500, ran: 9000, reported: 500 })
    await changeUnit(done.unitId, { status: 'DONE', timings, finished_at: new Date() })
    await complete(done.jobId, 1)
    const first = await submit()
    const delayed = (await post('/api/tasks/word-count', { input: { text: 'a' }, delaySeconds: 100 })).json()
    const second = await submit()
    const urgent = (await post('/api/tasks/word-count', { input: { text: 'a' }, priority: 9 })).json()
    // Of another queue.
    await insertChunk(db(), await insertTranscription(db()), 0, { status: 'QUEUED' })
    const shown = async (jobId: string) => (await get(`/api/jobs/${jobId}`)).json()
    expect(await shown(urgent.jobId)).toMatchObject({ queuePosition: 0, waitingFor: null })
    expect((await shown(first.jobId)).queuePosition).toBe(1)
    expect(await shown(second.jobId)).toMatchObject({
      queuePosition: 2,
      waitingFor: 'waits behind 2 units on queue cpu+word-count'
    })
    expect((await shown(second.jobId)).etaSeconds).toBeOneOf([11, 12])
    expect((await shown(delayed.jobId)).etaSeconds).toBeOneOf([108, 109, 110])
    const error = JSON.stringify({ code: 'SC_TASK_FAILED', title: 'x', detail: 'no network\nat all' })
    await changeUnit(second.unitId, { attempts: 1, error, not_before: sql`now() + interval '4 seconds'` })
    expect((await shown(second.jobId)).waitingFor).toMatch(/^waits [34] s before attempt 2 of 3: no network$/)
    const ago = sql`now() - interval '4 seconds'`
    await changeUnit(first.unitId, { status: 'RUNNING', started_at: ago })
    await db()
      .updateTable('jobs')
      .set({ status: 'RUNNING', started_at: ago as never })
      .where('id', '=', first.jobId)
      .execute()
    expect((await shown(first.jobId)).etaSeconds).toBeOneOf([5, 6])
  })
})

describe('GET /api/jobs/{jobId}/units', () => {
  it('comes in pages, by task and index', async () => {
    const jobId = await insertTranscription(db())
    for (let at = 0; at < 5; at++) await insertChunk(db(), jobId, at, { status: 'QUEUED' })
    await changeUnit(`${jobId}.chunk.4`, { task: 'transcribe.detect' })
    const found: number[] = []
    let url: string | null = `/api/jobs/${jobId}/units?limit=2`
    for (let pages = 0; url !== null && pages < 9; pages++) {
      const page: { items: Array<{ index: number }>; nextCursor: string | null } = (await get(url)).json()
      found.push(...page.items.map(({ index }) => index))
      url = page.nextCursor && `/api/jobs/${jobId}/units?limit=2&cursor=${page.nextCursor}`
    }
    expect(found).toEqual([0, 1, 2, 3, 4])
    expect((await get(`/api/jobs/${jobId}/units`)).json()).toMatchObject({ nextCursor: null, items: { length: 5 } })
    expect((await get(`/api/jobs/${jobId}/units?cursor=zzz`)).json().detail).toMatch(/^cursor: /)
  })
})

it('shows jobs of a task of which an absurd time was reported, whole seconds of it at most', async () => {
  const reported = [
    { waited: 0, fetched: 1e308, ran: 1.7e308, reported: 1e308 },
    { waited: 5e-324, fetched: 5e-324, ran: 1e20, reported: 0 }
  ]
  for (const timings of reported) {
    const { jobId, unitId } = await submit()
    await complete(jobId, {})
    const finished_at = new Date(Date.now() + 60_000)
    await changeUnit(unitId, { status: 'DONE', timings: JSON.stringify(timings), finished_at })
    expect((await get(`/api/jobs/${jobId}/units`)).statusCode).toBe(200)
  }
  const { jobId, unitId } = await submit()
  for (const url of [`/api/jobs/${jobId}`, '/api/jobs']) expect((await get(url)).statusCode, url).toBe(200)
  expect((await get(`/api/jobs/${jobId}`)).json().etaSeconds).toEqual(expect.any(Number))
  const seen = events(jobId)
  await changeUnit(unitId, { status: 'DONE' })
  await complete(jobId, {})
  expect((await seen).at(-1)).toMatchObject({ event: 'done' })
})
