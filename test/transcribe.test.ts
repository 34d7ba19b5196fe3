import { createHash } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { join } from 'node:path'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeCorpus } from '../apps/master/test/corpus.ts'
import { runningUnit, unitsOf } from '../chaos/scenarios.ts'
import { joinSamples, run, SAMPLES } from './audio.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

const JFK = join(SAMPLES, 'jfk.wav')
/** In capitals or not: where the model puts a full stop differs with the kind of CPU. */
const SAID = /what you can do for your country/i

describe('a cluster of one worker', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster({ workers: 1 })
  })
  afterAll(() => cluster?.stop())

  it('gives the text, with word times, in every format', async () => {
    const { job, document } = await cluster.transcribe(JFK)
    expect(job).toMatchObject({ status: 'COMPLETED', progress: 1, language: 'en', model: 'base', durationSeconds: 11 })
    expect(document.transcription).toMatch(SAID)
    const words = document.segments.flatMap(segment => segment.words)
    expect(words.length).toBeGreaterThan(15)
    for (const [at, { start, end }] of words.entries()) {
      expect(end).toBeGreaterThanOrEqual(start)
      expect(start).toBeGreaterThanOrEqual((words[at - 1]?.end ?? 0) - 0.05)
      expect(end).toBeLessThanOrEqual(11.1)
    }
    for (const [format, sign] of [
      ['text', SAID],
      ['srt', /-->/],
      ['vtt', /^WEBVTT/],
      ['tsv', /^start\tend\ttext/],
      ['verbose_json', /"segments"/]
    ] as const) {
      const response = await cluster.api(`/transcribe/${job.jobId}/result?format=${format}`)
      expect(response.status).toBe(200)
      expect(await response.text()).toMatch(sign)
    }
  })

  it('reuses what is done, and answers at once', async () => {
    const again = await cluster.transcribe(JFK)
    const { items } = await cluster.json<{ items: Array<{ timingsMs: unknown; status: string }> }>(
      `/api/jobs/${again.job.jobId}/units`
    )
    expect(items).toMatchObject([{ status: 'DONE', timingsMs: null }])
    expect(again.document.transcription).toMatch(SAID)
  })

  it('tells the story of a job as events, and goes on after the last one that was heard', async () => {
    const jobId = await cluster.submit(JFK, { reuse: 'false' })
    const text = await (await cluster.api(`/transcribe/${jobId}/events`)).text()
    const events = text.split('\n\n').flatMap(block => /^event: (.*)$/m.exec(block)?.[1] ?? [])
    expect(events[0]).toBe('status')
    expect(events).toContain('segment')
    expect(events.at(-1)).toBe('done')
    const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id as string)
    const rest = await (
      await cluster.api(`/transcribe/${jobId}/events`, { headers: { 'last-event-id': ids[0] as string } })
    ).text()
    expect([...rest.matchAll(/^id: (.*)$/gm)].map(([, id]) => id)).toEqual(ids.slice(1))
  })

  it('cancels a running chunk and takes the next job', async () => {
    const { path } = await joinSamples(90, cluster.folder)
    const jobId = await cluster.submit(path, { reuse: 'false', chunk_seconds: '900' })
    await runningUnit(cluster, jobId)
    const response = await cluster.api(`/transcribe/${jobId}`, { method: 'DELETE' })
    expect(response.status).toBe(202)
    const { job } = await cluster.transcribe(JFK, { reuse: 'false' })
    expect(job.status).toBe('COMPLETED')
    expect(await cluster.json(`/transcribe/${jobId}`)).toMatchObject({ status: 'CANCELLED' })
    expect((await cluster.api(`/transcribe/${jobId}/result`)).status).toBe(409)
    const workers = await cluster.json<{ items: Array<{ slots: Array<{ state: string }> }> }>('/api/workers')
    expect(workers.items[0]?.slots).toHaveLength(1)
  })

  it('does a short recording before the third chunk of a long one that was there first', async () => {
    const [hour, short] = [join(cluster.folder, 'hour.wav'), join(cluster.folder, 'short.wav')]
    await run(['-stream_loop', '-1', '-i', JFK, '-t', '3600', '-c', 'copy', hour])
    await run(['-i', JFK, '-t', '3', '-c', 'copy', short])
    const fields = { model: 'tiny.en', language: 'en', chunk_seconds: '30', reuse: 'false' }
    const long = await cluster.submit(hour, fields)
    const { worker } = await runningUnit(cluster, long)
    // Until the first chunks of the long one have had time to get in front.
    await cluster.json(`/api/workers/${worker.id}/drain`, { method: 'POST' })
    await until('eight more wait', 60_000, async () => {
      const waiting = (await unitsOf(cluster, long)).filter(({ status }) => status === 'QUEUED')
      return waiting.length >= 8
    })
    const behind = await cluster.submit(short, fields)
    await until('the short one waits', 60_000, async () => (await unitsOf(cluster, behind)).length > 0)
    await cluster.json(`/api/workers/${worker.id}/resume`, { method: 'POST' })
    const job = await cluster.finished(behind)
    expect(job).toMatchObject({ status: 'COMPLETED', chunks: { total: 1 } })
    const before = (await unitsOf(cluster, long)).filter(
      ({ finishedAt }) => finishedAt && finishedAt < (job.finishedAt as string)
    )
    expect(before.length).toBeLessThan(3)
    await cluster.api(`/transcribe/${long}`, { method: 'DELETE' })
    expect(await cluster.finished(long)).toMatchObject({ status: 'CANCELLED' })
  })

  it('finishes a short recording while two of 25 h of silence, which came first, are still planned', async () => {
    const silence = join(cluster.folder, 'silence.flac')
    await run(['-f', 'lavfi', '-i', 'anullsrc=r=1000:cl=mono', '-t', `${25 * 3600}`, '-c:a', 'flac', silence])
    const long = [await cluster.submit(silence), await cluster.submit(silence)]
    const { job } = await cluster.transcribe(JFK, { reuse: 'false' })
    expect(job).toMatchObject({ status: 'COMPLETED', error: null })
    for (const id of long) {
      expect(await cluster.json(`/transcribe/${id}`)).toMatchObject({ status: 'PENDING', error: null })
      await cluster.api(`/transcribe/${id}`, { method: 'DELETE' })
    }
  })

  it('does not use an English-only model on another language', async () => {
    const body = new FormData()
    body.set('model', 'tiny.en')
    body.set('language', 'de')
    body.set('file', new Blob([Buffer.alloc(100)]), 'x.wav')
    const response = await cluster.api('/transcribe', { method: 'POST', body })
    expect(response.status).toBe(422)
    expect(await response.json()).toMatchObject({ code: 'SC_LANGUAGE_NOT_SUPPORTED' })
    const { job, document } = await cluster.transcribe(JFK, { model: 'tiny.en', reuse: 'false' })
    expect(job).toMatchObject({ model: 'tiny.en', language: 'en' })
    expect(document.transcription.toLowerCase()).toContain('country')
  })

  it('answers the same to the same idempotency key', async () => {
    const send = async (path: string) => {
      const body = new FormData()
      body.set('file', await openAsBlob(path), 'a.wav')
      return await cluster.api('/transcribe', { method: 'POST', body, headers: { 'idempotency-key': 'key-1' } })
    }
    const answers = await Promise.all([send(JFK), send(JFK)])
    expect(answers.map(({ status }) => status)).toEqual([202, 202])
    const [first, second] = (await Promise.all(answers.map(answer => answer.json()))) as Array<{ jobId: string }>
    expect(first?.jobId).toBe(second?.jobId)
    const other = await send(join(SAMPLES, 'austen-1.wav'))
    expect(other.status).toBe(409)
  })

  it('gives each odd or hostile file its error or a right result, and nothing of another file', async () => {
    const corpus = await makeCorpus(await findFfmpeg(), join(cluster.folder, 'corpus'))
    const results: Record<string, string> = {}
    for (const [name, path] of Object.entries(corpus)) {
      const body = new FormData()
      body.set('file', await openAsBlob(path), name)
      const response = await cluster.api('/transcribe', { method: 'POST', body })
      const answer = (await response.json()) as { jobId: string; code?: string }
      if (response.status !== 202) {
        results[name] = `${response.status} ${answer.code}`
        continue
      }
      const job = await cluster.finished(answer.jobId)
      if (job.status !== 'COMPLETED') results[name] = `${job.status} ${job.error?.code}`
      else {
        const document = await cluster.json<{ transcription: string }>(`/transcribe/${answer.jobId}/result`)
        results[name] = SAID.test(document.transcription) ? 'speech' : `text "${document.transcription}"`
      }
    }
    expect(results).toEqual({
      speech: 'speech',
      hls: '422 SC_NOT_AUDIO',
      hlsAsMp3: '422 SC_NOT_AUDIO',
      hlsAsWav: '422 SC_NOT_AUDIO',
      ffconcatAsMp3: '422 SC_NOT_AUDIO',
      ffconcatAsWav: '422 SC_NOT_AUDIO',
      moovAtEnd: 'speech',
      headerSaysMore: 'speech',
      headerSaysLess: 'speech',
      silence6h: 'text ""',
      zeroBytes: '400 SC_NO_FILE',
      text: '422 SC_NOT_AUDIO',
      image: '422 SC_NOT_AUDIO',
      videoWithoutSound: '422 SC_NO_AUDIO_TRACK',
      videoWithSound: 'speech',
      eightChannels: 'speech',
      telephone: 'speech',
      oneSample: 'text ""',
      truncatedMp3: expect.stringMatching(/^text "And so/i),
      truncatedWav: expect.stringMatching(/^text "And so/i),
      truncatedM4a: '422 SC_NOT_AUDIO',
      noise: 'text ""',
      manySamples: '422 SC_NOT_AUDIO'
    })
  })

  it('keeps jobs and results over a restart of the master, and leaves nothing running', async () => {
    const { job, document } = await cluster.transcribe(JFK)
    const hash = (text: string) => createHash('sha256').update(text).digest('hex')
    const gone = new Promise(resolve => cluster.master.once('exit', resolve))
    cluster.master.kill('SIGTERM')
    await gone
    await cluster.startMaster()
    const kept = await cluster.json<{ transcription: string }>(`/transcribe/${job.jobId}/result`)
    expect(hash(kept.transcription)).toBe(hash(document.transcription))
    await until('the worker is back', 30_000, async () => {
      const { items } = await cluster.json<{ items: Array<{ status: string }> }>('/api/workers')
      return items.some(({ status }) => status === 'online')
    })
    expect((await cluster.transcribe(JFK, { reuse: 'false' })).document.transcription).toBe(document.transcription)
  })
})
