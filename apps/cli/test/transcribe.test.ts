import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runSc, startSc } from './run-sc.ts'
import { events, json, problem, startTinyMaster, type TinyMaster } from './tiny-master.ts'

const STATUS = { jobId: 'j1', status: 'RUNNING', progress: 0, durationSeconds: 11, error: null, gaps: [] }
const DONE = { ...STATUS, status: 'COMPLETED', progress: 1, chunks: { total: 1, done: 1, running: 0, failed: 0 } }

let folder: string
let master: TinyMaster | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sc-cli-'))
})
afterEach(async () => {
  await master?.close()
  master = undefined
  rmSync(folder, { recursive: true })
})

function recording(name: string, text = 'the bytes of a recording'): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** A job that is RUNNING until `end` is called. */
function createJob() {
  let view: object = STATUS
  return {
    end: (change: object = DONE): void => {
      view = change
    },
    handlers: {
      'POST /transcribe': (_: unknown, response: Parameters<typeof json>[0]) => json(response, 202, { jobId: 'j1' }),
      'GET /transcribe/j1': (_: unknown, response: Parameters<typeof json>[0]) => json(response, 200, view),
      'GET /transcribe/j1/result': (_: unknown, response: Parameters<typeof json>[0]) => response.end('What was said.')
    }
  }
}

test('sends the file and the fields, follows the events, and prints the text', async () => {
  const job = createJob()
  let form = ''
  master = await startTinyMaster({
    ...job.handlers,
    'POST /transcribe': (_, response, body) => {
      form = body.toString('latin1')
      json(response, 202, { jobId: 'j1' })
    },
    'GET /transcribe/j1/events': (_, response) => {
      events(response, 'event: progress\ndata: {"progress":0.5,"chunks":{"total":2,"done":1,"running":1,"failed":0}}')
      job.end()
      response.end('event: done\ndata: {}\n\n')
    }
  })
  const bytes = 'x'.repeat(300_000)
  const args = ['--language', 'en', '--chunk-seconds', '60', '--no-reuse', '--master', master.url]
  const { code, stdout, stderr } = await runSc(['transcribe', recording('a.wav', bytes), ...args])
  expect(stderr).toContain('a.wav: 1/2 chunks')
  expect(stdout).toBe('What was said.\n')
  expect(code).toBe(0)
  for (const field of ['name="language"\r\n\r\nen', 'name="chunk_seconds"\r\n\r\n60', 'name="reuse"\r\n\r\nfalse'])
    expect(form).toContain(field)
  expect(form).toMatch(/name="file"; filename="a.wav"/)
  expect(form).toContain(bytes)
})

test('takes the events up after the last one seen when the connection breaks', async () => {
  const job = createJob()
  let connections = 0
  master = await startTinyMaster({
    ...job.handlers,
    'GET /transcribe/j1/events': (_, response) => {
      connections++
      if (connections === 1) {
        events(response, 'id: 4.2\nevent: segment\ndata: {"text":"hello"}')
        setImmediate(() => response.destroy())
      } else {
        job.end()
        response.end('event: done\ndata: {}\n\n')
      }
    }
  })
  const { code, stdout } = await runSc(['transcribe', recording('a.wav'), '--master', master.url])
  expect([code, stdout]).toEqual([0, 'What was said.\n'])
  expect(master.requests.filter(line => line.includes('/events'))).toEqual([
    'GET /transcribe/j1/events',
    'GET /transcribe/j1/events after 4.2'
  ])
})

test('asks again and again when there are no events', async () => {
  const job = createJob()
  master = await startTinyMaster({
    ...job.handlers,
    'GET /transcribe/j1/events': (_, response) => {
      if (master && master.requests.filter(line => line === 'GET /transcribe/j1').length > 3) job.end()
      problem(response, 503, 'SC_UNAVAILABLE', 'PostgreSQL is away.')
    }
  })
  const { code, stdout } = await runSc(['transcribe', recording('a.wav'), '--master', master.url])
  expect([code, stdout]).toEqual([0, 'What was said.\n'])
})

test('a refused file is named with what happened and what to do; the other one is done all the same', async () => {
  const job = createJob()
  job.end()
  master = await startTinyMaster({
    ...job.handlers,
    'POST /transcribe': (_, response, body) =>
      body.includes('bad.mp3')
        ? problem(response, 422, 'SC_NOT_AUDIO', 'bad.mp3 is a picture.')
        : json(response, 202, { jobId: 'j1' })
  })
  const [good, bad] = [recording('good.wav'), recording('bad.mp3')]
  const out = join(folder, 'out')
  const args = ['--format', 'srt', '--output', out, '--master', master.url]
  const { code, stdout, stderr } = await runSc(['transcribe', good, bad, ...args])
  expect(stderr).toContain(`${bad}: The file is not audio that can be decoded: bad.mp3 is a picture. (SC_NOT_AUDIO)`)
  expect(stderr).toContain('convert it')
  expect(stdout).toBe('')
  expect(code).toBe(1)
  expect(readFileSync(join(out, 'good.srt'), 'utf8')).toBe('What was said.\n')
  expect(master.requests).toContain('GET /transcribe/j1/result?format=srt')
})

test('--json prints one entry for each recording, failed ones too', async () => {
  const job = createJob()
  job.end({ ...DONE, status: 'FAILED', error: { code: 'SC_NO_AUDIO_TRACK', title: 'unused', detail: 'It is silent.' } })
  master = await startTinyMaster(job.handlers)
  const { code, stdout } = await runSc(['transcribe', recording('a.wav'), '--json', '--master', master.url])
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject([
    { jobId: 'j1', status: 'FAILED', error: { code: 'SC_NO_AUDIO_TRACK', detail: 'It is silent.' }, result: null }
  ])
})

test('a text with gaps is printed, and the command fails', async () => {
  const job = createJob()
  job.end({ ...DONE, status: 'PARTIAL', gaps: [{ start: 2, end: 4.5, error: {} }] })
  master = await startTinyMaster(job.handlers)
  const { code, stdout, stderr } = await runSc(['transcribe', recording('a.wav'), '--master', master.url])
  expect([code, stdout]).toEqual([1, 'What was said.\n'])
  expect(stderr).toContain('2.0 to 4.5 s')
})

test('Ctrl-C cancels the jobs at the master and ends with 130', async () => {
  const job = createJob()
  const following = Promise.withResolvers<void>()
  master = await startTinyMaster({
    ...job.handlers,
    'GET /transcribe/j1/events': (_, response) => {
      events(response, 'event: status\ndata: {"status":"RUNNING"}')
      following.resolve()
    },
    'DELETE /transcribe/j1': (_, response) => json(response, 202, { jobId: 'j1', status: 'CANCELLED' })
  })
  const { child, ended } = startSc(['transcribe', recording('a.wav'), '--master', master.url])
  await following.promise
  child.kill('SIGINT')
  const { code, stdout } = await ended
  expect([code, stdout]).toEqual([130, ''])
  expect(master.requests).toContain('DELETE /transcribe/j1')
})

test('a second Ctrl-C does not wait for the master', async () => {
  const job = createJob()
  const [following, cancelling] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  master = await startTinyMaster({
    ...job.handlers,
    'GET /transcribe/j1/events': (_, response) => {
      events(response, ': hello')
      following.resolve()
    },
    'DELETE /transcribe/j1': () => cancelling.resolve()
  })
  const { child } = startSc(['transcribe', recording('a.wav'), '--master', master.url])
  await following.promise
  child.kill('SIGINT')
  await cancelling.promise
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  expect(code).toBe(130)
})

test('a refusal in the middle of the upload is said, with the way to give the right key', async () => {
  master = await startTinyMaster({})
  const args = ['transcribe', recording('a.wav', 'x'.repeat(30_000_000)), '--master', master.url]
  const { code, stderr } = await runSc(args, { SC_ADMIN_KEY: 'this-is-another-key' })
  expect(stderr).toContain('A key is needed: The key is not known. (SC_UNAUTHENTICATED)')
  expect(stderr).toContain('--key-file')
  expect(code).toBe(1)
})

test('memory does not grow with the file', async () => {
  let received = 0
  master = await startTinyMaster({
    'POST /transcribe': (_, response, body) => {
      received = body.length
      problem(response, 422, 'SC_NOT_AUDIO', 'These are zeros.')
    }
  })
  const path = recording('a.wav')
  const bytes = 300_000_000
  truncateSync(path, bytes)
  const heap = ['--import', join(import.meta.dirname, 'fixtures/print-peak-memory.ts')]
  const { stderr } = await runSc(['transcribe', path, '--master', master.url], { NODE_OPTIONS: heap.join(' ') })
  expect(received).toBeGreaterThan(bytes)
  const peak = /peak memory (\d+)/.exec(stderr)
  expect(Number(peak?.[1])).toBeGreaterThan(0)
  expect(Number(peak?.[1])).toBeLessThan(bytes)
})
