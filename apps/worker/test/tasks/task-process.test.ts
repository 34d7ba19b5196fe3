import { afterEach, expect, test } from 'vitest'
import type { Run } from '../../src/tasks/run.ts'
import { TaskProcess } from '../../src/tasks/task-process.ts'
import { quiet, startFixture, until } from '../fixtures/children.ts'

const children: TaskProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('the test is over')
    await child.ended
  }
})

type Limits = Parameters<typeof startFixture>[1]

async function ready(name: string, limits?: Limits): Promise<TaskProcess> {
  const child = started(name, limits)
  await child.ready
  return child
}

function started(name: string, limits?: Limits): TaskProcess {
  const child = startFixture(name, limits)
  children.push(child)
  return child
}

function runOf(task: string, more: Partial<Run> = {}): Run {
  const signal = new AbortController().signal
  return { id: 'r1', task, input: { a: 1 }, deadlineMs: 60_000, signal, onProgress() {}, onLog() {}, ...more }
}

function isAlive(pid: number | undefined): boolean {
  try {
    return process.kill(pid as number, 0)
  } catch {
    return false
  }
}

test('answers hello with its tasks and runs one after the other', async () => {
  const child = await ready('well_behaved')
  expect((await child.ready).tasks.map(task => task.name)).toContain('echo')
  expect((await child.run(runOf('echo'))).output).toEqual({ a: 1 })
  expect((await child.run(runOf('echo', { id: 'r2', input: 'é\u2028' }))).output).toBe('é\u2028')
})

test('hands on progress, logs and memory', async () => {
  const child = await ready('well_behaved')
  const heard: unknown[] = []
  await child.run(runOf('tell', { onProgress: m => heard.push(m.fraction), onLog: m => heard.push(m.message) }))
  expect(heard).toEqual([0.1, 0.2, 0.3, 0.4, 'careful'])
  expect(child.memory.rssBytes).toBe(123)
})

test('counts stray lines and goes on', async () => {
  const child = await ready('well_behaved')
  expect((await child.run(runOf('stray'))).output).toBe('still here')
  expect(child.strayLines).toBe(2)
})

test('an error of the task keeps its code and the child stays', async () => {
  const child = await ready('well_behaved')
  const refused = child.run(runOf('refuse'))
  await expect(refused).rejects.toMatchObject({ code: 'SC_OUT_OF_MEMORY', message: 'no room\nline 1' })
  expect(child.state).toBe('ready')
})

test('a death in mid run says how it ended and the last of stderr', async () => {
  const child = await ready('well_behaved')
  const crashed = child.run(runOf('crash'))
  await expect(crashed).rejects.toMatchObject({ code: 'SC_CHILD_DIED', message: /exit code 3\.\nthe last words/ })
  expect(child.state).toBe('dead')
})

test('a cancelled task answers, and the child stays', async () => {
  const child = await ready('well_behaved')
  const stop = new AbortController()
  const running = child.run(runOf('wait', { signal: stop.signal }))
  stop.abort('cancelled')
  await expect(running).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  expect(child.state).toBe('ready')
  expect((await child.run(runOf('echo', { id: 'r2' }))).output).toEqual({ a: 1 })
})

test('a child that hears no cancel and no SIGTERM is killed', async () => {
  const child = await ready('deaf')
  const stop = new AbortController()
  const running = child.run(runOf('wait', { signal: stop.signal }))
  stop.abort('cancelled')
  await expect(running).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  expect(isAlive(child.pid)).toBe(false)
})

test('a run past its deadline is cancelled, and its child stays when it listens', async () => {
  const child = await ready('well_behaved')
  const late = child.run(runOf('wait', { deadlineMs: 100 }))
  await expect(late).rejects.toMatchObject({ code: 'SC_TASK_TIMEOUT', retryable: true })
  expect((await child.run(runOf('echo', { id: 'r2' }))).output).toEqual({ a: 1 })
})

test('a run past its deadline ends with the child that does not listen', async () => {
  const child = await ready('deaf', { lateMs: 300 })
  const late = child.run(runOf('wait', { deadlineMs: 100 }))
  await expect(late).rejects.toMatchObject({
    code: 'SC_TASK_TIMEOUT',
    retryable: true,
    message: /^An attempt at wait may take 0\.1 s .*`timeoutSeconds`/
  })
  expect(child.state).toBe('dead')
  expect(isAlive(child.pid)).toBe(false)
})

test('a child that is stopped in mid run is ended; one that says something is not', async () => {
  const child = await ready('well_behaved', { silentMs: 600 })
  expect((await child.run(runOf('murmur', { input: { ms: 1_200 } }))).output).toBe('murmured')
  const frozen = child.run(runOf('murmur', { id: 'r2', input: { ms: 60_000 } }))
  process.kill(child.pid as number, 'SIGSTOP')
  await expect(frozen).rejects.toMatchObject({ code: 'SC_CHILD_DIED', message: /it said nothing for 0\.6 s/ })
  expect(isAlive(child.pid)).toBe(false)
})

test('a child without a run may be silent', async () => {
  const child = await ready('well_behaved', { silentMs: 100 })
  await child.run(runOf('echo'))
  await new Promise(resolve => setTimeout(resolve, 300))
  expect(child.state).toBe('ready')
})

test('a child that dies at import says why', async () => {
  await expect(started('dies_at_import').ready).rejects.toMatchObject({
    code: 'SC_CHILD_DIED',
    message: /a_module_that_is_not_there/
  })
})

test('a child that prints garbage and ends never becomes ready', async () => {
  const child = started('garbage')
  await expect(child.ready).rejects.toMatchObject({ code: 'SC_CHILD_DIED' })
  expect(child.strayLines).toBe(3)
})

test('a child that does not answer hello is killed', async () => {
  const child = started('silent', { startTimeoutMs: 200 })
  await expect(child.ready).rejects.toMatchObject({ code: 'SC_CHILD_DIED', message: /did not answer `hello`/ })
  await until(() => !isAlive(child.pid))
})

test('a Python that is not there is an error, not an exception', async () => {
  const command = { file: '/no/such/python', args: [], cwd: '/' }
  const rest = { env: {}, device: 'cpu', modelsDir: null, tasksDir: null, log: quiet }
  const child = new TaskProcess({ language: 'Python', command, ...rest })
  await expect(child.ready).rejects.toMatchObject({ code: 'SC_CHILD_DIED', message: /no\/such\/python/ })
})

test('stop ends a child that listens and one that does not', async () => {
  for (const name of ['well_behaved', 'deaf']) {
    const child = await ready(name)
    if (name === 'deaf') child.run(runOf('wait')).catch(() => {})
    await child.stop()
    expect(isAlive(child.pid)).toBe(false)
  }
})
