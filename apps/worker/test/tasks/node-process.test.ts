import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { identityOf, isRunning } from '@sc/shared/processes.ts'
import { afterEach, expect, test } from 'vitest'
import type { Run } from '../../src/tasks/run.ts'
import type { TaskProcess } from '../../src/tasks/task-process.ts'
import { startNode, until } from '../fixtures/children.ts'
import { taskFile, writeTasks } from './write-tasks.ts'

const children: TaskProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('the test is over')
    await child.ended
  }
})

async function start(files: Record<string, string>) {
  const child = startNode(writeTasks(files))
  children.push(child)
  return { child, ready: await child.ready }
}

function runOf(task: string, more: Partial<Run> = {}): Run {
  const signal = new AbortController().signal
  return { id: 'r1', task, input: { text: 'ab' }, deadlineMs: 60_000, signal, onProgress() {}, onLog() {}, ...more }
}

const TURN = taskFile('turn', `return { text: text.split('').reverse().join('') }`)

test('takes tasks from files of every kind, and leaves tests, types and subfolders alone', async () => {
  const { child, ready } = await start({
    'a.ts': TURN,
    'b.mjs': taskFile('two', 'return { text }').replace('export default', 'export const two ='),
    'c.js': taskFile('three', 'return { text }'),
    'd.mts': taskFile('four', 'return { text } satisfies { text: string }'),
    'e.test.ts': 'throw new Error("a test is no task")',
    'f.d.ts': 'declare const nothing: string',
    'notes.txt': 'no task either'
  })
  expect(ready.leftOut).toEqual([])
  expect(ready.tasks.map(task => `${task.name} ${task.file}`)).toEqual([
    'turn a.ts',
    'two b.mjs',
    'three c.js',
    'four d.mts'
  ])
  expect(ready.tasks[0]).toMatchObject({ builtIn: false, gpu: false, inputSchema: { required: ['text'] } })
  expect((await child.run(runOf('turn'))).output).toEqual({ text: 'ba' })
  expect((await child.run(runOf('three', { input: { text: 'é\u2028', files: {} } }))).output).toEqual({
    text: 'é\u2028'
  })
  await until(() => child.memory.rssBytes > 10_000_000)
})

test('a broken file is left out with the reason, and the others are not', async () => {
  const { child, ready } = await start({
    'a.ts': TURN,
    'exit.ts': 'process.exit(3)',
    'import.ts': `import 'no-such-package'`,
    'nothing.ts': 'export const answer = 42',
    'option.ts': taskFile('opt', 'return { text }', `gpus: 2,`),
    'syntax.ts': 'export default defineTask({',
    'throws.ts': 'throw new Error("at the top")',
    'twice.ts': TURN,
    'z.ts': taskFile('last', 'return { text }')
  })
  expect(ready.tasks.map(task => task.name)).toEqual(['turn', 'last'])
  const reasons = Object.fromEntries(ready.leftOut.map(({ file, reason }) => [file, reason]))
  expect(reasons).toEqual({
    'exit.ts': expect.stringContaining('it called process.exit(3)'),
    'import.ts': expect.stringContaining('no-such-package'),
    'nothing.ts': expect.stringMatching(/^it exports no task: write `export default defineTask/),
    'option.ts': expect.stringContaining('there is no option gpus'),
    'syntax.ts': expect.stringMatching(/SyntaxError/),
    'throws.ts': expect.stringMatching(/at the top[\s\S]*throws\.ts:1/),
    'twice.ts': 'the task turn is in a.ts already'
  })
  expect((await child.run(runOf('last'))).output).toEqual({ text: 'ab' })
})

test('logs with fields, progress, files; and what is printed does not break the protocol', async () => {
  const { child } = await start({
    'a.ts': `import { spawnSync } from 'node:child_process'
import { writeSync } from 'node:fs'
${taskFile(
  'noisy',
  `console.log('said to the console', { text })
    process.stdout.write('{"type":"result","id":"r1","output":"printed","metrics":{}}\\n')
    writeSync(1, 'written to descriptor 1\\n')
    spawnSync('echo', ['said by a child'], { stdio: 'inherit' })
    log.warn('careful', { size: 10n })
    log('counted', { letters: 2 })
    progress(7, { text })
    progress(Number.NaN)
    return { text: files.input ?? '' }`
)}`
  })
  const heard: unknown[] = []
  const { output } = await child.run(
    runOf('noisy', {
      input: { text: 'ab', files: { input: '/tmp/x' } },
      onProgress: ({ fraction, partial }) => heard.push([fraction, partial]),
      onLog: ({ level, message, fields }) => heard.push([level, message, fields])
    })
  )
  expect(output).toEqual({ text: '/tmp/x' })
  expect(heard).toEqual([
    ['info', `said to the console { text: 'ab' }`, undefined],
    ['warn', 'careful', { fields: '{ size: 10n }' }],
    ['info', 'counted', { letters: 2 }],
    [1, { text: 'ab' }],
    [0, undefined]
  ])
  expect(child.strayLines).toBe(0)
})

test('input, output and throws have their codes; the process stays', async () => {
  const { child } = await start({
    'a.ts': taskFile('throws', `throw new RangeError('too ' + text)`),
    'b.ts': taskFile('final', `throw Object.assign(new Error('never'), { retryable: false })`),
    'c.ts': taskFile('wrong', 'return { text: text.length }'),
    'd.ts': taskFile('odd', 'throw null').replace('export default', 'export const odd =')
  })
  await expect(child.run(runOf('throws', { input: { text: '' } }))).rejects.toMatchObject({
    code: 'SC_TASK_INPUT',
    retryable: false,
    message: /^The input of throws is not valid: text: /
  })
  await expect(child.run(runOf('throws', { input: 7 }))).rejects.toMatchObject({ code: 'SC_TASK_INPUT' })
  await expect(child.run(runOf('throws'))).rejects.toMatchObject({
    code: 'SC_TASK_FAILED',
    retryable: true,
    message: /^throws failed\. RangeError: too ab\n +at [\s\S]*a\.ts:10/
  })
  await expect(child.run(runOf('final'))).rejects.toMatchObject({ code: 'SC_TASK_FAILED', retryable: false })
  await expect(child.run(runOf('wrong'))).rejects.toMatchObject({
    code: 'SC_TASK_FAILED',
    message: /^The output of wrong is not valid: text: /
  })
  await expect(child.run(runOf('odd'))).rejects.toMatchObject({ code: 'SC_TASK_FAILED', message: /null/ })
  await expect(child.run(runOf('none'))).rejects.toMatchObject({ code: 'SC_TASK_UNKNOWN' })
  expect(child.state).toBe('ready')
})

test('whatever a task throws ends its run, also what cannot be read; and a cause is told', async () => {
  const thrown = {
    bare: 'Object.create(null)',
    mute: `{ toString() { throw new Error('no text') } }`,
    getter: `Object.defineProperty(new Error('m'), 'message', { get() { throw new Error('no message') } })`,
    proxy: `new Proxy(new Error('p'), { get() { throw new Error('trap') } })`,
    fields: `{ code: 'E_DISK', why: 'full' }`,
    cause: `new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:1') })`,
    several: `new AggregateError([new Error('first'), new Error('second')], 'all failed')`
  }
  const files = Object.entries(thrown).map(([name, what]) => [`${name}.ts`, taskFile(name, `throw ${what}`)])
  const { child } = await start(Object.fromEntries(files))
  const messages: Record<string, string> = {}
  for (const name of Object.keys(thrown))
    await child.run(runOf(name)).catch(({ code, message }) => {
      expect(code).toBe('SC_TASK_FAILED')
      messages[name] = message.split('\n')[0]
    })
  expect(messages).toEqual({
    bare: 'bare failed. Error: [Object: null prototype] {}',
    mute: 'mute failed. Error: { toString: [Function: toString] }',
    getter: 'getter failed. Error: (object without a text)',
    proxy: 'proxy failed. Error: (object without a text)',
    fields: `fields failed. Error: { code: 'E_DISK', why: 'full' }`,
    cause: 'cause failed. TypeError: fetch failed; caused by Error: connect ECONNREFUSED 127.0.0.1:1',
    several: 'several failed. AggregateError: all failed; caused by Error: first; caused by Error: second'
  })
  expect(child.state).toBe('ready')
}, 30_000)

test('stdin is empty for a task and for what it starts, and the next task starts in the same folder and environment', async () => {
  const { child } = await start({
    'a.ts': `import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
${taskFile(
  'asks',
  `process.chdir('/')
    delete process.env.PATH
    process.env.MADE_BY_A_RUN = '1'
    const stdio = ['inherit', 'pipe', 'pipe']
    const answers = [readFileSync(0, 'utf8'), String(spawnSync('/bin/cat', { stdio, timeout: 5_000 }).stdout)]
    for await (const line of createInterface({ input: process.stdin })) answers.push(line)
    return { text: JSON.stringify(answers) }`
)}`,
    'b.ts': taskFile('where', 'return { text: process.cwd() + Object.entries(process.env).sort().join() }')
  })
  const where = () => child.run(runOf('where')).then(({ output }) => output)
  const before = await where()
  expect((await child.run(runOf('asks'))).output).toEqual({ text: '["",""]' })
  expect(await where()).toEqual(before)
})

test('a cancel aborts the signal, and the next run is not disturbed', async () => {
  const { child } = await start({
    'a.ts': taskFile(
      'wait',
      `progress(0.1); await new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason)))`
    ),
    'b.ts': TURN
  })
  const stop = new AbortController()
  const running = child.run(runOf('wait', { signal: stop.signal, onProgress: () => stop.abort('cancelled') }))
  await expect(running).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  expect(child.state).toBe('ready')
  expect((await child.run(runOf('turn', { id: 'r2' }))).output).toEqual({ text: 'ba' })
})

test('what nobody awaits or catches, and process.exit, fail the run that did it; the process stays', async () => {
  const never = 'await new Promise(() => {})'
  const { child } = await start({
    'a.ts': taskFile('exit', 'process.exit(4)'),
    'b.ts': taskFile('stray', `Promise.reject(new RangeError('forgotten')); ${never}`),
    'c.ts': taskFile('timer', `setTimeout(() => { throw new RangeError('in a timer') }, 1); ${never}`),
    'd.ts': taskFile('late', `setTimeout(() => Promise.reject(new RangeError('late')), 20); return { text }`),
    'e.ts': taskFile('slow', 'await new Promise(done => setTimeout(done, 60)); return { text }')
  })
  const failing = (task: string, message: RegExp) =>
    expect(child.run(runOf(task))).rejects.toMatchObject({ code: 'SC_TASK_FAILED', message })
  await failing('exit', /^exit failed\. Error: it called process\.exit\(4\)/)
  await failing('stray', /^stray failed\. RangeError: forgotten/)
  await failing('timer', /^timer failed\. RangeError: in a timer/)
  expect((await child.run(runOf('late'))).output).toEqual({ text: 'ab' })
  expect((await child.run(runOf('slow'))).output).toEqual({ text: 'ab' })
})

test('a task that ends its process is one dead process', async () => {
  const { child } = await start({
    'a.ts': taskFile('exit', `process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})`)
  })
  await expect(child.run(runOf('exit'))).rejects.toMatchObject({ code: 'SC_CHILD_DIED', message: /SIGKILL/ })
})

test('ends when it is told to', async () => {
  const { child } = await start({ 'a.ts': TURN })
  const identity = identityOf(child.pid as number)
  await child.stop()
  expect(identity && isRunning(identity)).toBe(false)
})

test('ends with a worker that is killed, also from within a task that never pauses', async () => {
  const folder = writeTasks({ 'spin.ts': taskFile('spin', `progress(0); for (;;) text`) })
  const host = spawn(process.execPath, [join(import.meta.dirname, '../fixtures/spinning-host.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [said] = (await once(host.stdout, 'data')) as [Buffer]
  const child = identityOf(Number(said.toString()))
  expect(child && isRunning(child)).toBe(true)
  host.kill('SIGKILL')
  await until(() => !child || !isRunning(child))
})
