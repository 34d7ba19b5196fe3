import { once } from 'node:events'
import { connect } from 'node:net'
import { reportOf } from '@sc/shared/errors.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readEvents, type WireEvent } from './event-stream.ts'
import { startApp, type TestApp } from './start-app.ts'
import { changeJob, finishChunk, insertChunk, insertTranscription } from './transcription-rows.ts'

let one: TestApp
let address = ''
beforeAll(async () => {
  one = await startApp()
  address = await one.listen()
})
afterAll(() => one.release())

const db = () => one.deps.db
const get = async (url: string) => await one.app.inject({ url, headers: one.bearer('read') })
const events = (jobId: string, headers: Record<string, string> = {}, onEvent?: Parameters<typeof readEvents>[2]) =>
  readEvents(`${address}/transcribe/${jobId}/events`, { ...one.bearer('read'), ...headers }, onEvent)
const texts = (all: WireEvent[]) => all.filter(({ event }) => event === 'segment').map(({ data }) => data.text)

const TRANSCRIPT = {
  transcription: 'Hello world.',
  segments: [
    {
      start: 0,
      end: 1.5,
      text: ' Hello world.',
      words: [
        { word: ' Hello', start: 0, end: 0.7, probability: 0.9 },
        { word: ' world.', start: 0.7, end: 1.5, probability: 0.8 }
      ],
      avg_logprob: -0.1,
      no_speech_prob: 0,
      compression_ratio: 1,
      temperature: 0,
      chunk: 0
    }
  ],
  languages: [{ language: 'en', probability: 1, duration_seconds: 1.5 }],
  model: 'base',
  duration_seconds: 1.5
}

describe('GET /transcribe/{jobId}', () => {
  it('says how a new one stands', async () => {
    const jobId = await insertTranscription(db(), { duration_seconds: 12.5 })
    const answer = await get(`/transcribe/${jobId}`)
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toEqual({
      jobId,
      status: 'PENDING',
      progress: 0,
      chunks: { total: 0, done: 0, running: 0, failed: 0 },
      queuePosition: 0,
      etaSeconds: null,
      waitingFor: 'waits to be planned',
      model: null,
      language: null,
      durationSeconds: 12.5,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      startedAt: null,
      finishedAt: null,
      error: null,
      gaps: []
    })
    await db().deleteFrom('jobs').execute()
  })

  it('counts chunks, and its progress never falls', async () => {
    const jobId = await insertTranscription(db(), { status: 'RUNNING', planned: true, duration_seconds: 40 })
    await insertChunk(db(), jobId, 0, { status: 'DONE', texts: ['one'] })
    await insertChunk(db(), jobId, 1, { status: 'RUNNING', fraction: 0.5 })
    await insertChunk(db(), jobId, 2, { status: 'QUEUED' })
    const first = (await get(`/transcribe/${jobId}`)).json()
    expect(first).toMatchObject({ progress: 0.5, chunks: { total: 3, done: 1, running: 1, failed: 0 } })
    // The attempt is lost: what it had done must be done again.
    await db().updateTable('units').set({ status: 'QUEUED', fraction: 0 }).where('index', '=', 1).execute()
    expect((await get(`/transcribe/${jobId}`)).json().progress).toBe(0.5)
    await finishChunk(db(), jobId, 1, [])
    await finishChunk(db(), jobId, 2, [])
    expect((await get(`/transcribe/${jobId}`)).json().progress).toBe(0.99)
    await changeJob(db(), jobId, { status: 'COMPLETED' })
    expect((await get(`/transcribe/${jobId}`)).json().progress).toBe(1)
    await db().deleteFrom('jobs').execute()
  })

  it('says what it waits for', async () => {
    const first = await insertTranscription(db(), { status: 'RUNNING' })
    const second = await insertTranscription(db())
    const urgent = await insertTranscription(db(), { priority: 10 })
    expect((await get(`/transcribe/${second}`)).json()).toMatchObject({
      queuePosition: 2,
      waitingFor: 'waits to be planned, behind 2 jobs'
    })
    expect((await get(`/transcribe/${urgent}`)).json()).toMatchObject({ queuePosition: 0 })
    await insertChunk(db(), second, 0, { status: 'QUEUED' })
    expect((await get(`/transcribe/${second}`)).json().waitingFor).toBe('waits for a worker: none is online')
    await insertChunk(db(), first, 0, { status: 'RUNNING' })
    expect((await get(`/transcribe/${first}`)).json()).toMatchObject({ queuePosition: null, waitingFor: null })
    await db().deleteFrom('jobs').execute()
  })

  it('knows no other job', async () => {
    const other = await insertTranscription(db(), { task: 'something.else' })
    for (const path of ['', '/result', '/events']) {
      for (const jobId of ['none', other]) {
        const answer = await get(`/transcribe/${jobId}${path}`)
        expect([answer.statusCode, answer.json().code], path).toEqual([404, 'SC_NOT_FOUND'])
      }
    }
    await db().deleteFrom('jobs').execute()
  })
})

describe('GET /transcribe/{jobId}/result', () => {
  it('is refused with the status while there is none', async () => {
    const jobId = await insertTranscription(db())
    for (const jobStatus of ['PENDING', 'RUNNING', 'FAILED', 'CANCELLED'] as const) {
      const error = { code: 'SC_NOT_AUDIO', title: 'x', detail: 'noise all over' }
      await changeJob(db(), jobId, { status: jobStatus, error: jobStatus === 'FAILED' ? JSON.stringify(error) : null })
      const answer = await get(`/transcribe/${jobId}/result`)
      expect(answer.statusCode).toBe(409)
      const isOpen = jobStatus === 'PENDING' || jobStatus === 'RUNNING'
      expect(answer.json()).toMatchObject({ status: 409, jobStatus, code: isOpen ? 'SC_NOT_FINISHED' : 'SC_NO_RESULT' })
      expect(answer.json().detail).toMatch(jobStatus)
      if (jobStatus === 'FAILED') expect(answer.json().detail).toMatch(/noise all over/)
    }
  })

  it('comes in every format', async () => {
    const jobId = await insertTranscription(db(), { status: 'COMPLETED' })
    const stored = JSON.stringify(TRANSCRIPT)
    await one.deps.blobs.put(`files/${jobId}/transcription.json`, Buffer.from(stored))
    const formats: Array<[format: string, type: RegExp, body: string | RegExp]> = [
      ['json', /^application\/json/, stored],
      ['text', /^text\/plain/, 'Hello world.\n'],
      ['srt', /subrip/, /^1\n00:00:00,000 --> 00:00:01,500\nHello world\.\n/],
      ['vtt', /^text\/vtt/, /^WEBVTT\n\n00:00\.000 --> 00:01\.500\nHello world\.\n/],
      ['tsv', /tab-separated/, /^start\tend\ttext\n0\t1500\tHello world\.\n/],
      ['verbose_json', /^application\/json/, /"language":"english"/]
    ]
    for (const [format, type, body] of formats) {
      const answer = await get(`/transcribe/${jobId}/result?format=${format}`)
      expect(answer.statusCode, format).toBe(200)
      expect(answer.headers['content-type'], format).toMatch(type)
      if (typeof body === 'string') expect(answer.body, format).toBe(body)
      else expect(answer.body, format).toMatch(body)
    }
    expect((await get(`/transcribe/${jobId}/result`)).body).toBe(stored)
    expect((await get(`/transcribe/${jobId}/result?format=SRT`)).body).toMatch(/^1\n00:00:00,000/)
    const wrong = await get(`/transcribe/${jobId}/result?format=docx`)
    expect([wrong.statusCode, wrong.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
    expect(wrong.json().detail).toMatch(/^format: .*srt/)
  })
})

it('comes in every format when it is long, and says what to ask for when it is too long for it', async () => {
  const jobId = await insertTranscription(db(), { status: 'COMPLETED' })
  const [segment] = TRANSCRIPT.segments
  const put = async (count: number) => {
    const long = { ...TRANSCRIPT, segments: Array.from({ length: count }, () => segment) }
    await one.deps.blobs.put(`files/${jobId}/transcription.json`, Buffer.from(JSON.stringify(long)))
  }
  await put(10_000)
  const srt = await get(`/transcribe/${jobId}/result?format=srt`)
  expect([srt.statusCode, srt.headers['content-type']]).toEqual([200, 'application/x-subrip; charset=utf-8'])
  expect(srt.body).toMatch(/\n10000\n00:00:00,000 --> 00:00:01,500\nHello world\.\n\n$/)
  await put(1_000_000)
  const refused = await get(`/transcribe/${jobId}/result?format=verbose_json`)
  expect([refused.statusCode, refused.json().detail]).toEqual([400, expect.stringMatching(/ MB, .*`format=json`/)])
}, 30_000)

it('says in verbose_json that a translation is one', async () => {
  const input = JSON.stringify({ model: 'auto', task: 'translate' })
  const jobId = await insertTranscription(db(), { status: 'COMPLETED', input })
  await one.deps.blobs.put(`files/${jobId}/transcription.json`, Buffer.from(JSON.stringify(TRANSCRIPT)))
  expect((await get(`/transcribe/${jobId}/result?format=verbose_json`)).json()).toMatchObject({ task: 'translate' })
})

describe('DELETE /transcribe/{jobId}', () => {
  it('cancels, also twice, and leaves an ended job as it is', async () => {
    const jobId = await insertTranscription(db())
    await insertChunk(db(), jobId, 0, { status: 'QUEUED' })
    const cancel = () => one.app.inject({ method: 'DELETE', url: `/transcribe/${jobId}`, headers: one.bearer('admin') })
    for (let times = 0; times < 2; times++) {
      const answer = await cancel()
      expect([answer.statusCode, answer.json()]).toEqual([202, { jobId, status: 'CANCELLED' }])
    }
    await changeJob(db(), jobId, { status: 'COMPLETED' })
    expect((await cancel()).json()).toEqual({ jobId, status: 'COMPLETED' })
    const none = await one.app.inject({ method: 'DELETE', url: '/transcribe/none', headers: one.bearer('admin') })
    expect(none.statusCode).toBe(404)
  })
})

describe('GET /transcribe/{jobId}/events', () => {
  it('tells a job while it happens, segments in order of time', async () => {
    const jobId = await insertTranscription(db(), { duration_seconds: 30 })
    const steps: Array<() => Promise<void>> = [
      async () => {
        await insertChunk(db(), jobId, 0, { status: 'RUNNING' })
        await insertChunk(db(), jobId, 1, { status: 'DONE', texts: ['b1', 'b2'] })
        await changeJob(db(), jobId, { status: 'RUNNING' })
      },
      async () => {
        await insertChunk(db(), jobId, 2, { status: 'QUEUED' })
        await finishChunk(db(), jobId, 0, ['a1'])
      },
      async () => {
        await finishChunk(db(), jobId, 2, ['c1'])
        await changeJob(db(), jobId, { status: 'COMPLETED', planned: true })
      }
    ]
    const seen = new Set<string>()
    const all = await events(jobId, {}, async ({ event, data }) => {
      const state = event === 'status' ? data.status : event === 'segment' ? data.text : event
      if (['PENDING', 'RUNNING', 'b2'].includes(state) && !seen.has(state)) {
        seen.add(state)
        await steps.shift()?.()
      }
      return false
    })
    expect(texts(all)).toEqual(['a1', 'b1', 'b2', 'c1'])
    const segments = all.filter(({ event }) => event === 'segment')
    expect(segments.map(({ id }) => id)).toEqual(['0.0', '1.0', '1.1', '2.0'])
    expect(segments[2]?.data).toMatchObject({
      start: 11,
      end: 12,
      chunk: 1,
      words: [{ word: 'b2', start: 11, end: 12 }]
    })
    const statuses = all.filter(({ event }) => event === 'status').map(({ data }) => data.status)
    expect([...new Set(statuses)]).toEqual(['PENDING', 'RUNNING', 'COMPLETED'])
    const progress = all.filter(({ event }) => event === 'progress').map(({ data }) => data.progress)
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    expect(progress.at(-1)).toBe(1)
    expect(all.at(-1)).toMatchObject({ event: 'done', data: { jobId, status: 'COMPLETED', error: null } })
    expect(all.at(-1)?.data.resultUrl).toBe(`${address}/transcribe/${jobId}/result`)
  })

  it('goes on after the last segment that was heard', async () => {
    const jobId = await insertTranscription(db(), { status: 'RUNNING' })
    await insertChunk(db(), jobId, 0, { status: 'DONE', texts: ['a1', 'a2', 'a3'] })
    await insertChunk(db(), jobId, 1, { status: 'DONE', texts: ['b1'] })
    await insertChunk(db(), jobId, 2, { status: 'RUNNING' })
    const first = await events(jobId, {}, ({ id }) => id === '0.1')
    expect(texts(first)).toEqual(['a1', 'a2'])
    await finishChunk(db(), jobId, 2, ['c1'])
    await changeJob(db(), jobId, { status: 'COMPLETED' })
    expect(texts(await events(jobId, { 'last-event-id': '0.1' }))).toEqual(['a3', 'b1', 'c1'])
    expect(texts(await events(jobId, { 'last-event-id': '2.0' }))).toEqual([])
    expect(texts(await events(jobId, { 'last-event-id': 'nonsense' }))).toEqual(['a1', 'a2', 'a3', 'b1', 'c1'])
    const replay = await events(jobId)
    expect(replay.map(({ event }) => event)).toEqual(['status', ...Array(5).fill('segment'), 'progress', 'done'])
  })

  it('goes on behind a chunk that failed, and says why a job ended', async () => {
    const error = reportOf('SC_POISON_UNIT', 'three workers')
    const jobId = await insertTranscription(db(), { status: 'FAILED', error: JSON.stringify(error) })
    await insertChunk(db(), jobId, 0, { status: 'FAILED' })
    await insertChunk(db(), jobId, 1, { status: 'DONE', texts: ['b1'] })
    await insertChunk(db(), jobId, 2, { status: 'CANCELLED' })
    const all = await events(jobId)
    expect(texts(all)).toEqual(['b1'])
    expect(all.at(-1)?.data).toEqual({ jobId, status: 'FAILED', error, resultUrl: null })
  })

  it('leaves the words out where the transcript will have none', async () => {
    const jobId = await insertTranscription(db(), {
      status: 'COMPLETED',
      input: JSON.stringify({ word_timestamps: false })
    })
    await insertChunk(db(), jobId, 0, { status: 'DONE', texts: ['a1'] })
    const all = await events(jobId)
    expect(all.find(({ event }) => event === 'segment')?.data.words).toEqual([])
  })

  it('forgets a listener that went away', async () => {
    const jobId = await insertTranscription(db(), { status: 'RUNNING' })
    const closed = new Promise(resolve => {
      one.app.server.once('request', (_request, response) => response.once('close', resolve))
    })
    await events(jobId, {}, () => true)
    await closed
    let looks = 0
    const count = one.deps.presence.workers
    // Every look at a job asks who is there.
    one.deps.presence.workers = () => {
      looks += 1
      return count()
    }
    await changeJob(db(), jobId, { language: 'en' })
    await new Promise(resolve => setTimeout(resolve, 1_000))
    one.deps.presence.workers = count
    expect(looks).toBe(0)
  })

  it('ends when the master stops, and so do connections that never asked anything', async () => {
    const other = await startApp()
    const url = new URL(await other.listen())
    const jobId = await insertTranscription(other.deps.db, { status: 'RUNNING' })
    const silent = connect(Number(url.port), url.hostname)
    await once(silent, 'connect')
    const closed = once(silent, 'close')
    const heard = readEvents(`${url.origin}/transcribe/${jobId}/events`, other.bearer('read'), async () => {
      void other.app.close()
      return false
    })
    expect((await heard).map(({ event }) => event)).toEqual(['status', 'progress'])
    await other.release()
    await closed
  })
})
