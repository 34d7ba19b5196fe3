/** What others wrote (a worker, a file's name, a recording) as `sc` prints it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { printableText } from '@sc/shared/printable.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runSc, scCommand } from './run-sc.ts'
import { json, startTinyMaster, type TinyMaster } from './tiny-master.ts'

/** Sets the terminal's title and colour, as ESC and as C1; turns text around; ends the line. */
const ATTACK = '\u001b]0;owned\u0007\u001b[31m\u009b31m\u202egnp.exe\u2066\u200f\u061c\u2028'

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

function expectClean(...texts: string[]): void {
  for (const text of texts) expect(text).toBe(printableText(text))
}

const TRANSCRIPT = `Hello ${ATTACK}\n\tworld`
const error = { code: 'SC_TASK_FAILED', title: `title ${ATTACK}`, detail: `detail ${ATTACK}\nsecond line` }

async function startJob(view: object): Promise<TinyMaster> {
  const body = { jobId: 'j1', progress: 1, durationSeconds: 1, waitingFor: `waits ${ATTACK}`, gaps: [], ...view }
  return await startTinyMaster({
    'POST /transcribe': (_, response) => json(response, 202, { jobId: 'j1' }),
    'GET /transcribe/j1': (_, response) => json(response, 200, body),
    'GET /transcribe/j1/result': (request, response) =>
      response.end(request.url?.endsWith('format=json') ? JSON.stringify({ transcription: TRANSCRIPT }) : TRANSCRIPT)
  })
}

function recording(name = 'a.wav'): string {
  const path = join(folder, name)
  writeFileSync(path, 'the bytes of a recording')
  return path
}

test('title and detail of an error have no command for the terminal; the title is the one of the table', async () => {
  master = await startJob({ status: 'FAILED', error })
  const { stdout, stderr } = await runSc(['transcribe', recording(), '--master', master.url])
  expectClean(stdout, stderr)
  expect(stderr).toMatch(/: The task failed: detail .*31m.*\(SC_TASK_FAILED\)\nsecond line/)
  expect(stderr).not.toContain('title ')
})

test('a transcript is clean on the terminal, the same value as JSON, and raw in a file', async () => {
  master = await startJob({ status: 'COMPLETED', error: null })
  const path = recording()
  const shown = await runSc(['transcribe', path, '--master', master.url])
  expectClean(shown.stdout, shown.stderr)
  expect(shown.stdout).toMatch(/^Hello .*\n\tworld\n$/)

  const asJson = await runSc(['transcribe', path, '--json', '--master', master.url])
  expectClean(asJson.stdout)
  expect(JSON.parse(asJson.stdout)).toMatchObject([{ result: TRANSCRIPT }])

  const format = await runSc(['transcribe', path, '--format', 'json', '--master', master.url])
  expectClean(format.stdout)
  expect(JSON.parse(format.stdout)).toEqual({ transcription: TRANSCRIPT })

  const out = join(folder, 'out')
  await runSc(['transcribe', path, '--output', out, '--master', master.url])
  expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe(`${TRANSCRIPT}\n`)
})

test('the name of a file and the bar on a terminal', async () => {
  master = await startJob({ status: 'FAILED', error })
  const path = recording(`${ATTACK}.wav`.replace('/', ''))
  expect(readdirSync(folder)).toHaveLength(1)
  const { file, args, env } = scCommand(['transcribe', path, '--master', master.url])
  const script = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))'
  const python = promisify(execFile)('python3', ['-c', script, file, ...args], { env: { ...env, TERM: 'xterm' } })
  const { stdout } = await python.catch((failed: { stdout: string }) => failed)
  // The bar moves the cursor by itself: what it must not do is to pass on what others wrote.
  expect(stdout).toContain('SC_TASK_FAILED')
  for (const part of ['\u001b]0', '\u0007', '\u001b[31m', '\u009b', '\u202e', '\u2066', '\u200f', '\u061c', '\u2028'])
    expect(stdout).not.toContain(part)
})

test('workers, jobs, the line to join and what the doctor finds', async () => {
  const worker = { id: 'w1', name: ATTACK, hostname: ATTACK, status: 'online', gpus: [], queues: [ATTACK], slots: [] }
  const job = { jobId: 'j1', task: ATTACK, status: 'PENDING', progress: 0, createdAt: ATTACK, waitingFor: ATTACK }
  const joinAnswer = {
    command: `npx ${ATTACK}`,
    alternatives: [{ title: ATTACK, command: ATTACK }],
    prerequisites: [ATTACK],
    mode: 'lan',
    masterAddress: ATTACK,
    expiresAt: null
  }
  const finding = { check: ATTACK, status: 'warning', found: ATTACK, next: ATTACK }
  master = await startTinyMaster({
    'GET /api/workers': (_, response) => json(response, 200, { items: [worker] }),
    'GET /api/jobs': (_, response) => json(response, 200, { items: [job], nextCursor: null }),
    'GET /api/cluster/join': (_, response) => json(response, 200, joinAnswer),
    'POST /api/cluster/join-codes': (_, response) => json(response, 200, joinAnswer),
    'GET /api/cluster/info': (_, response) => json(response, 200, { mode: ATTACK, version: ATTACK }),
    'GET /api/cluster/doctor': (_, response) => json(response, 200, { items: [finding] })
  })
  const values: Record<string, unknown> = {}
  for (const command of ['workers', 'jobs', 'join', 'doctor']) {
    const { stdout, stderr } = await runSc([command, '--master', master.url])
    expectClean(stdout, stderr)
    expect(stdout).toContain('gnp.exe')
    const asJson = await runSc([command, '--json', '--master', master.url])
    expectClean(asJson.stdout)
    values[command] = JSON.parse(asJson.stdout)
  }
  expect(values).toMatchObject({ workers: [worker], jobs: [job], join: joinAnswer })
  expect(values.doctor).toMatchObject({ findings: expect.arrayContaining([finding]) })
})

test('an answer that is none of a master', async () => {
  master = await startTinyMaster({
    'GET /api/workers': (_, response) => response.writeHead(500).end(ATTACK),
    'GET /api/jobs': (_, response) => json(response, 400, { code: ATTACK, title: ATTACK, detail: ATTACK })
  })
  for (const command of ['workers', 'jobs']) {
    const { code, stdout, stderr } = await runSc([command, '--master', master.url])
    expect(code).toBe(1)
    expectClean(stdout, stderr)
  }
})

test('nothing in the commands writes to the terminal by itself', () => {
  const sources = ['../src', '../../worker/src'].flatMap(name => {
    const root = join(import.meta.dirname, name)
    return readdirSync(root, { recursive: true, encoding: 'utf8' }).map(file => join(root, file))
  })
  const writers = sources.filter(
    path => path.endsWith('.ts') && /process\.std(out|err)\.write|console\.\w+\(/.test(readFileSync(path, 'utf8'))
  )
  expect(writers).toEqual([])
})
