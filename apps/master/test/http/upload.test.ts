import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { removeStaleUploads } from '../../src/http/stale-uploads.ts'
import { form, tone, wavHeader } from './recordings.ts'
import { startApp, type TestApp } from './start-app.ts'

const MAX_BYTES = 300_000
const RECORDING = tone(1)

let one: TestApp
let address = ''
beforeAll(async () => {
  one = await startApp({ maxUploadBytes: MAX_BYTES })
  address = await one.listen()
})
afterAll(() => one.release())

beforeEach(async () => {
  await one.deps.db.deleteFrom('jobs').execute()
  await one.deps.blobs.removePrefix('files')
  one.planned.length = 0
})

type Parts = Parameters<typeof form>
const asFile = (bytes: Buffer, fileName = 'talk.wav') => ({ fileName, bytes })

async function submit(parts: Parts, headers: Record<string, string> = {}) {
  const { body, headers: formHeaders } = form(...parts)
  const answer = await one.app.inject({
    method: 'POST',
    url: '/transcribe',
    headers: { host: 'here:5080', ...one.bearer('submit'), ...formHeaders, ...headers },
    payload: body
  })
  return { status: answer.statusCode, headers: answer.headers, body: answer.json() }
}

const jobs = () => one.deps.db.selectFrom('jobs').selectAll().execute()

/** Files of uploads and of jobs, wherever they may lie. */
async function filesLeft(): Promise<string[]> {
  const { spool, blobs } = one.dir
  const found = await Promise.all(
    [spool, join(blobs, 'files'), join(blobs, '.incoming')].map(async folder =>
      existsSync(folder) ? await readdir(folder, { recursive: true }) : []
    )
  )
  return found.flat()
}

async function expectNothingLeft(): Promise<void> {
  expect(await filesLeft()).toEqual([])
  expect(await jobs()).toEqual([])
  expect(one.planned).toEqual([])
}

describe('a recording that is submitted', () => {
  it('is stored, written down as a job, and planned', async () => {
    const { status, headers, body } = await submit([
      ['language', 'German'],
      ['file', asFile(RECORDING, 'My talk.wav')],
      ['chunk_seconds', '60'],
      ['word_timestamps', 'false']
    ])
    expect(status).toBe(202)
    const { jobId } = body
    expect(body).toEqual({
      jobId,
      submissionId: jobId,
      status: 'PENDING',
      blobPath: `files/${jobId}/My_talk.wav`,
      resultPath: `files/${jobId}/transcription.json`,
      statusUrl: `http://here:5080/transcribe/${jobId}`,
      resultUrl: `http://here:5080/transcribe/${jobId}/result`,
      eventsUrl: `http://here:5080/transcribe/${jobId}/events`
    })
    expect(headers.location).toBe(`/transcribe/${jobId}`)
    const [job] = await jobs()
    expect(job).toMatchObject({ id: jobId, task: 'transcribe', status: 'PENDING', source_file: 'My talk.wav' })
    expect(job?.input).toMatchObject({ language: 'de', chunk_seconds: 60, word_timestamps: false, model: 'auto' })
    expect(job?.duration_seconds).toBeCloseTo(1, 1)
    expect(await one.deps.blobs.size(body.blobPath)).toBe(RECORDING.length)
    expect(one.planned).toEqual([jobId])
    expect(await readdir(one.dir.spool)).toEqual([])
  })

  it.each([
    ['../../../etc/passwd', 'passwd', 'passwd'],
    ['C:\\\\fakepath\\\\x.mp3', 'x.mp3', 'x.mp3'],
    ['transcription.json', 'upload-transcription.json', 'transcription.json'],
    ['..', 'recording', 'recording'],
    ['Gespräch über Ägypten.ogg', 'Gesprach_uber_Agypten.ogg', 'Gespräch über Ägypten.ogg'],
    ['会議.m4a', 'recording.m4a', '会議.m4a'],
    [`${'a'.repeat(300)}.flac`, `${'a'.repeat(115)}.flac`, `${'a'.repeat(255)}`]
  ])('may be named %s', async (fileName, stored, shown) => {
    const { body, status } = await submit([['file', asFile(RECORDING, fileName)]])
    expect(status).toBe(202)
    expect(body.blobPath).toBe(`files/${body.jobId}/${stored}`)
    expect((await jobs())[0]?.source_file).toBe(shown)
  })

  it('may have its fields in the query; those of the form count before them', async () => {
    const send = async (query: string, ...parts: Parts) => {
      const { body, headers } = form(['file', asFile(RECORDING)], ...parts)
      const how = { method: 'POST', headers: { ...one.bearer('submit'), ...headers }, payload: body } as const
      const answer = await one.app.inject({ url: `/transcribe?${query}`, ...how })
      return [answer.statusCode, (await jobs()).map(({ input }) => (input as { language?: string }).language).at(-1)]
    }
    expect(await send('language=de')).toEqual([202, 'de'])
    await one.deps.db.deleteFrom('jobs').execute()
    expect(await send('language=de', ['language', 'en'])).toEqual([202, 'en'])
    await one.deps.db.deleteFrom('jobs').execute()
    expect(await send('langage=de')).toEqual([400, undefined])
    expect(await send('language=de&language=en')).toEqual([400, undefined])
  })

  it.each([
    ['language', 'en-US', 'en'],
    ['language', 'pt_BR', 'pt'],
    ['language', 'zh-Hans', 'zh'],
    ['language', 'zh-yue', 'yue'],
    ['language', 'de_DE.UTF-8', 'de'],
    ['language', 'eng', 'en'],
    ['language', 'deu', 'de'],
    ['language', 'ger', 'de'],
    ['language', 'chi', 'zh'],
    ['language', 'nb-NO', 'no'],
    ['language', 'jv', 'jw'],
    ['language', 'FR', 'fr'],
    ['language', ' German ', 'de'],
    ['language', 'auto', null],
    ['language', 'Auto', null],
    ['channel', 'Left', 0],
    ['channel', '0', 0],
    ['word_timestamps', 'on', true],
    ['word_timestamps', 'Off', false],
    ['reuse', 'no', false],
    ['temperature', '.5', 0.5],
    ['temperature', '1.', 1],
    ['task', 'Translate', 'translate'],
    ['model', 'AUTO', 'auto']
  ])('may say %s=%s', async (name, value, understood) => {
    const { status } = await submit([
      [name, value],
      ['file', asFile(RECORDING)]
    ])
    expect(status).toBe(202)
    expect((await jobs())[0]?.input).toMatchObject({ [name]: understood })
  })

  it('is one job for one idempotency key', async () => {
    const parts: Parts = [['file', asFile(RECORDING)]]
    const first = await submit(parts, { 'idempotency-key': 'one' })
    const again = await submit(parts, { 'idempotency-key': 'one' })
    expect(again.status).toBe(202)
    expect(again.body).toEqual(first.body)
    expect(await jobs()).toHaveLength(1)
    expect(await readdir(join(one.dir.blobs, 'files'))).toEqual([first.body.jobId])
    const other = await submit([...parts, ['language', 'en']], { 'idempotency-key': 'one' })
    expect([other.status, other.body.code]).toEqual([409, 'SC_IDEMPOTENCY_CONFLICT'])
    const otherFile = await submit([['file', asFile(tone(2))]], { 'idempotency-key': 'one' })
    expect([otherFile.status, otherFile.body.code]).toEqual([409, 'SC_IDEMPOTENCY_CONFLICT'])
    expect(await readdir(join(one.dir.blobs, 'files'))).toEqual([first.body.jobId])
    expect((await submit(parts)).body.jobId).not.toBe(first.body.jobId)
  })
})

describe('a request that is refused', () => {
  const file: Parts[number] = ['file', asFile(RECORDING)]
  const refusals: Array<[why: string, parts: Parts, status: number, code: string, names: RegExp]> = [
    ['no file', [['language', 'en']], 400, 'SC_NO_FILE', /"file"/],
    ['an empty file', [['file', asFile(Buffer.alloc(0))]], 400, 'SC_NO_FILE', /empty/],
    ['a file sent as text', [['file', 'RIFF…']], 400, 'SC_NO_FILE', /as text/],
    ['two files', [file, file], 400, 'SC_BAD_REQUEST', /one recording/],
    ['a file in another field', [['audio', asFile(RECORDING)]], 400, 'SC_BAD_REQUEST', /^audio/],
    ['an unknown field', [['langauge', 'en'], file], 400, 'SC_BAD_REQUEST', /^langauge/],
    ['an unknown field after the file', [file, ['langauge', 'en']], 400, 'SC_BAD_REQUEST', /^langauge/],
    ['a field twice', [['language', 'en'], ['language', 'de'], file], 400, 'SC_BAD_REQUEST', /^language/],
    ['a field that is too long', [['prompt', 'x'.repeat(20_000)], file], 400, 'SC_BAD_REQUEST', /^prompt/],
    ['a bad value', [['temperature', '7'], file], 400, 'SC_BAD_REQUEST', /^temperature/],
    ['two bad values', [['task', 'x'], ['priority', 'y'], file], 400, 'SC_BAD_REQUEST', /task: .*priority: /],
    ['a language that is none', [['language', 'klingon'], file], 400, 'SC_BAD_REQUEST', /klingon/],
    [
      'hotwords that would drive out the prompt',
      [['hotwords', 'x'.repeat(301)], file],
      400,
      'SC_BAD_REQUEST',
      /hotwords: .*300/
    ],
    ['a word that is no number', [['temperature', '.'], file], 400, 'SC_BAD_REQUEST', /^temperature/],
    ['a language that only looks like one', [['language', 'xx-US'], file], 400, 'SC_BAD_REQUEST', /xx-US/],
    ['an unknown model', [['model', 'huge'], file], 400, 'SC_UNKNOWN_MODEL', /large-v3-turbo/],
    [
      'a language the model lacks',
      [['model', 'tiny.en'], ['language', 'de'], file],
      422,
      'SC_LANGUAGE_NOT_SUPPORTED',
      /English/
    ],
    ['a webhook into the house', [['webhook_url', 'http://192.168.1.1/'], file], 400, 'SC_BAD_REQUEST', /^webhook_url/],
    ['text', [['file', asFile(Buffer.from('hello '.repeat(1000)))]], 422, 'SC_NOT_AUDIO', /./],
    ['a track that is not there', [['track', '1'], file], 422, 'SC_NO_SUCH_TRACK', /track 0/],
    ['a channel that is not there', [['channel', '3'], file], 422, 'SC_NO_SUCH_CHANNEL', /3/],
    ['a file that is too large', [['file', asFile(Buffer.alloc(MAX_BYTES + 1))]], 413, 'SC_FILE_TOO_LARGE', /300000/]
  ]
  it.each(refusals)('%s', async (_why, parts, status, code, names) => {
    const answer = await submit(parts)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.body).toMatchObject({ status, code, title: expect.any(String), requestId: expect.any(String) })
    expect(answer.status).toBe(status)
    expect(answer.body.detail).toMatch(names)
    await expectNothingLeft()
  })

  it.each([
    ['no body', undefined, {}, 'SC_NO_FILE'],
    ['JSON', '{"file":"x"}', { 'content-type': 'application/json' }, 'SC_NO_FILE'],
    ['another type', 'x', { 'content-type': 'audio/wav' }, 'SC_BAD_REQUEST'],
    ['a form without a boundary', 'x', { 'content-type': 'multipart/form-data' }, 'SC_BAD_REQUEST'],
    ['a form that stops', '--b\r\ncontent', { 'content-type': 'multipart/form-data; boundary=b' }, 'SC_BAD_REQUEST']
  ])('%s', async (_why, payload, headers, code) => {
    const answer = await one.app.inject({
      method: 'POST',
      url: '/transcribe',
      headers: { ...one.bearer('submit'), ...headers },
      ...(payload !== undefined && { payload })
    })
    expect(answer.json()).toMatchObject({ status: 400, code })
    await expectNothingLeft()
  })

  it('an idempotency key that is too long', async () => {
    const answer = await submit([file], { 'idempotency-key': 'x'.repeat(256) })
    expect([answer.status, answer.body.code]).toEqual([400, 'SC_BAD_REQUEST'])
  })
})

/** Sends a form's beginning; the caller goes on or goes away. */
function begin(headers: Record<string, string> = {}) {
  const { body, headers: formHeaders } = form(['file', asFile(wavHeader(1_000_000_000))])
  const call = requestHttp(`${address}/transcribe`, {
    method: 'POST',
    headers: { ...one.bearer('submit'), ...formHeaders, ...headers }
  })
  const { promise: answer, resolve, reject } = Promise.withResolvers<{ status: number; code: string }>()
  call.once('error', reject)
  call.once('response', async response => {
    const text = (await response.toArray()).join('')
    resolve({ status: response.statusCode ?? 0, code: JSON.parse(text).code })
  })
  call.write(body.subarray(0, body.length - 30))
  return { call, answer }
}

describe('over a real connection', () => {
  it('an upload that grows too large is answered while it is still being sent', async () => {
    const { call, answer } = begin()
    const part = randomBytes(100_000)
    for (let sent = 0; sent < 5; sent++) call.write(part)
    expect(await answer).toEqual({ status: 413, code: 'SC_FILE_TOO_LARGE' })
    call.destroy()
    await expect.poll(filesLeft).toEqual([])
    await expectNothingLeft()
  })

  it('an upload that is announced too large is refused at once', async () => {
    const { call, answer } = begin({ 'content-length': '5000000000' })
    expect(await answer).toEqual({ status: 413, code: 'SC_FILE_TOO_LARGE' })
    call.destroy()
    await expectNothingLeft()
  })

  it('an upload that breaks off leaves nothing behind', async () => {
    const { call, answer } = begin()
    call.write(randomBytes(100_000))
    await expect.poll(filesLeft).not.toEqual([])
    call.destroy()
    await expect(answer).rejects.toThrow()
    await expect.poll(filesLeft).toEqual([])
    await expectNothingLeft()
  })

  it('a client that is gone before its form is read leaves nothing behind, and nobody waits for it', async () => {
    const { disk } = one.deps.room
    const { claim } = disk
    const gone = Promise.withResolvers<void>()
    // The master is still busy with the head when the connection ends.
    disk.claim = async announced => {
      await gone.promise
      return await claim(announced)
    }
    one.app.server.once('request', (_request, response) => response.once('close', gone.resolve))
    const { call, answer } = begin()
    try {
      await expect.poll(filesLeft).not.toEqual([])
      call.destroy()
      await expect(answer).rejects.toThrow()
      await gone.promise
      await expect.poll(filesLeft).toEqual([])
    } finally {
      disk.claim = claim
    }
    await expectNothingLeft()
  })

  it('the server goes on after a refusal on the same connection', async () => {
    const { body, headers } = form(['wrong', 'x'], ['file', asFile(Buffer.alloc(200_000))])
    const send = async (payload: Buffer) =>
      await fetch(`${address}/transcribe`, {
        method: 'POST',
        headers: { ...one.bearer('submit'), ...headers },
        body: new Uint8Array(payload)
      })
    expect((await send(body)).status).toBe(400)
    const good = await send(form(['file', asFile(RECORDING)]).body)
    expect(good.status).toBe(202)
    const { blobPath } = (await good.json()) as { blobPath: string }
    const stored = Buffer.concat(await (await one.deps.blobs.get(blobPath)).toArray())
    const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    expect(sha256(stored)).toBe(sha256(RECORDING))
  })
})

describe('the spool', () => {
  it('loses what a killed master had begun to receive, and nothing else', async () => {
    const dead = spawn('true')
    await once(dead, 'exit')
    const [stale, other, own] = [`upload-${dead.pid}-x`, `upload-${process.ppid}-x`, 'plan-some-job']
    for (const name of [stale, other, own]) await mkdir(join(one.dir.spool, name))
    await removeStaleUploads(one.dir.spool)
    expect((await readdir(one.dir.spool)).sort()).toEqual([own, other].sort())
  })
})

/** A disk with 18 MiB beside its reserve, where this user may make one. */
const canMount =
  process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('/bin/mount', ['--version']).status === 0

describe.runIf(canMount)('a disk that is full', () => {
  const small = mkdtempSync(join(tmpdir(), 'sc-small-disk-'))
  const mounted = spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=530m', 'none', small]).status === 0
  afterAll(() => {
    if (mounted) spawnSync('/bin/umount', [small])
    rmSync(small, { recursive: true, force: true })
  })

  it.runIf(mounted)('is 507 before the upload when its length is known, and during it otherwise', async () => {
    const full = await startApp({ dataDir: small, maxUploadBytes: 1e9 })
    try {
      const url = `${await full.listen()}/transcribe`
      const spool = join(small, 'spool')
      const { body, headers } = form(['file', asFile(Buffer.alloc(20_000_000))])
      const send = (headers: Record<string, string>, body: RequestInit['body']) =>
        fetch(url, {
          method: 'POST',
          headers: { ...full.bearer('submit'), ...headers },
          body,
          duplex: 'half'
        } as RequestInit)
      const announced = await send(headers, new Uint8Array(body))
      expect([announced.status, (await announced.json()) as object]).toMatchObject([507, { code: 'SC_DISK_FULL' }])
      expect(announced.headers.get('retry-after')).toBeTruthy()
      expect(await readdir(spool)).toEqual([])
      const endless = new ReadableStream({
        start: controller => controller.enqueue(body.subarray(0, 200)),
        pull: controller => controller.enqueue(new Uint8Array(1_000_000))
      })
      const during = await send(headers, endless)
      expect([during.status, (await during.json()) as object]).toMatchObject([507, { code: 'SC_DISK_FULL' }])
      await expect.poll(() => readdir(spool)).toEqual([])
    } finally {
      await full.release()
    }
  })
})
