import { once } from 'node:events'
import { join } from 'node:path'
import { connectRedis } from '@sc/shared/redis.ts'
import { afterEach, expect, test, vi } from 'vitest'
import { beginMasterProcess, type StartingMaster, startMasterProcess } from './master-process.ts'
import { processesBelow } from './processes-below.ts'

/** In which a master ends after one signal. */
const LIMIT_MS = 20_000
const WAIT = { timeout: 15_000, interval: 100 }

let master: StartingMaster
afterEach(async () => {
  // What a failed test left frozen would stay.
  for (const line of processesBelow(master.folder)) signal(Number(line.split(' ')[0]), 'SIGCONT')
  await master.remove()
})

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone.
  }
}

/** One signal, then nothing: the exit code, with no process left. */
async function stopBy(name: NodeJS.Signals): Promise<number | null> {
  const exited = once(master.child, 'exit', { signal: AbortSignal.timeout(LIMIT_MS) })
  master.child.kill(name)
  const [code] = await exited
  await vi.waitFor(() => expect(processesBelow(master.folder)).toEqual([]), { timeout: 2_000, interval: 50 })
  return code
}

test('one SIGINT ends a master whose Redis runs a script that does not end', { timeout: 90_000 }, async () => {
  const running = await startMasterProcess()
  master = running
  const { url, redisUrl } = running
  const redis = connectRedis(redisUrl, { name: 'test', bare: true })
  const script = redis.eval('while true do end', 0).catch(() => {})
  // Begun, and nobody is answered.
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(503), {
    timeout: 15_000,
    interval: 100
  })
  const code = await stopBy('SIGINT')
  redis.disconnect()
  await script
  expect(code).toBe(130)
})

test('one SIGTERM ends a master whose Redis is frozen', { timeout: 90_000 }, async () => {
  master = await startMasterProcess()
  signal(master.serverPid('redis'), 'SIGSTOP')
  expect(await stopBy('SIGTERM')).toBe(0)
})

test('one SIGINT ends a master whose PostgreSQL is frozen, with every backend', { timeout: 90_000 }, async () => {
  master = await startMasterProcess()
  for (const line of processesBelow(master.folder))
    if (/postgres/.test(line)) signal(Number(line.split(' ')[0]), 'SIGSTOP')
  expect(await stopBy('SIGINT')).toBe(130)
})

test('Ctrl-C, which every process of the terminal gets, leaves no stack in the log', { timeout: 90_000 }, async () => {
  master = beginMasterProcess({}, true)
  await vi.waitFor(() => expect(master.log()).toContain('master is up'), { timeout: 60_000, interval: 100 })
  const exited = once(master.child, 'exit', { signal: AbortSignal.timeout(LIMIT_MS) })
  process.kill(-(master.child.pid as number), 'SIGINT')
  expect(await exited).toEqual([130, null])
  const lines = master.log().split('\n')
  expect(lines.filter(line => /"stack"|^ +at /.test(line))).toEqual([])
})

test('one SIGINT ends a master with a plan that hangs', { timeout: 90_000 }, async () => {
  const running = await startMasterProcess({ SC_TASKS_DIR: join(import.meta.dirname, 'fixtures/hanging-plan') })
  master = running
  const headers = { 'content-type': 'application/json' }
  const answer = await running.fetch('/api/tasks/hang', { method: 'POST', headers, body: '{"input":{}}' })
  expect(answer.status).toBe(202)
  await vi.waitFor(() => expect(master.log()).toContain('the plan hangs'), { timeout: 15_000, interval: 50 })
  expect(await stopBy('SIGINT')).toBe(130)
})

test.each(['redis', 'postgres'] as const)(
  'one SIGINT ends a master that is starting, with its %s',
  { timeout: 90_000 },
  async server => {
    master = beginMasterProcess()
    // Begun, and frozen before it answers.
    const pid = await vi.waitFor(() => master.serverPid(server), { timeout: 30_000, interval: 2 })
    signal(pid, 'SIGSTOP')
    expect(await stopBy('SIGINT')).toBe(130)
  }
)

test('a promise that nobody awaits is a line of the log, and the master goes on', { timeout: 90_000 }, async () => {
  const code = `process.argv[1]?.endsWith('apps/master/src/main.js') && setTimeout(() => Promise.reject(new Error('stray')), 500)`
  const running = await startMasterProcess({
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}`
  })
  master = running
  await vi.waitFor(() => expect(running.log()).toMatch(/"part":"unknown".*A promise failed that nobody awaited/), WAIT)
  expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
  expect(await stopBy('SIGINT')).toBe(130)
})
