import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { pythonCommand, pythonEnv } from '../../src/python/command.ts'
import { lackOf } from '../../src/tasks/lack.ts'
import type { Run } from '../../src/tasks/run.ts'
import { SlotTasks } from '../../src/tasks/slot-tasks.ts'
import { quiet, until } from '../fixtures/children.ts'
import { pythonFile, taskFile, writeTasks } from './write-tasks.ts'

const started: SlotTasks[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map(tasks => tasks.stop()))
})

function startTasks(tasksDir: string | null, slot = { device: 'cpu', classes: ['cpu'] }): SlotTasks {
  const options = {
    slot,
    python: pythonCommand(),
    env: () => pythonEnv('cpu', 1),
    modelsDir: '/nowhere',
    tasksDir,
    log: quiet
  }
  const tasks = new SlotTasks(options).start()
  started.push(tasks)
  return tasks
}

function runOf(task: string, more: Partial<Run> = {}): Run {
  const signal = new AbortController().signal
  return { id: 'r1', task, input: { text: 'ab' }, deadlineMs: 60_000, signal, onProgress() {}, onLog() {}, ...more }
}

const own = (tasks: Array<{ name: string; builtIn: boolean }>) =>
  tasks.filter(task => !task.builtIn).map(task => task.name)

test('offers the tasks of both languages and runs each where it is', async () => {
  const tasks = startTasks(
    writeTasks({
      'turn.ts': taskFile('turn', `return { text: [...text].reverse().join('') }`),
      'upper.py': pythonFile('upper')
    })
  )
  expect(tasks.state).toBe('starting')
  const ready = await tasks.ready
  expect(ready.tasks.map(task => task.name)).toEqual(['transcribe.chunk', 'transcribe.detect', 'turn', 'upper'])
  expect(ready.versions).toMatchObject({ node: process.versions.node, pydantic: /./ })
  expect((await tasks.run(runOf('turn'))).output).toEqual({ text: 'ba' })
  const logs: unknown[] = []
  expect((await tasks.run(runOf('upper', { onLog: log => logs.push(log.fields) }))).output).toEqual({ text: 'AB' })
  expect(logs).toEqual([{ letters: 2 }])
  // Of both: either has less.
  await until(() => tasks.memory.rssBytes > 125_000_000)
  expect(tasks.state).toBe('ready')
})

test('a Node task that ends its process leaves Python alone; start brings it back, with what the folder has now', async () => {
  const folder = writeTasks({
    'exit.ts': taskFile('exit', 'process.kill(process.pid, "SIGKILL")'),
    'pid.py': pythonFile('pid').replace('request.text.upper()', 'str(__import__("os").getpid())')
  })
  const tasks = startTasks(folder)
  await tasks.ready
  const { output: before } = await tasks.run(runOf('pid'))
  await expect(tasks.run(runOf('exit'))).rejects.toMatchObject({
    code: 'SC_CHILD_DIED',
    message: /^The Node process ended/
  })
  expect(tasks.state).toBe('dead')
  rmSync(join(folder, 'exit.ts'))
  writeFileSync(join(folder, 'new.ts'), taskFile('new', 'return { text }'))
  expect(own((await tasks.start().ready).tasks)).toEqual(['new', 'pid'])
  expect((await tasks.run(runOf('new'))).output).toEqual({ text: 'ab' })
  expect((await tasks.run(runOf('pid'))).output).toEqual(before)
})

test('a changed file starts its own process anew, as soon as nothing runs', async () => {
  const folder = writeTasks({
    'wait.ts': taskFile('wait', `progress(0); await new Promise(go => setTimeout(go, 300)); return { text }`),
    'pid.py': pythonFile('pid').replace('request.text.upper()', 'str(__import__("os").getpid())')
  })
  const tasks = startTasks(folder)
  await tasks.ready
  const { output: before } = await tasks.run(runOf('pid'))
  tasks.reload()
  expect(tasks.state).toBe('ready')
  const running = tasks.run(runOf('wait'))
  writeFileSync(join(folder, 'new.ts'), taskFile('new', 'return { text }'))
  writeFileSync(join(folder, 'new.test.ts'), 'no task')
  tasks.reload()
  expect(tasks.state).toBe('running')
  expect((await running).output).toEqual({ text: 'ab' })
  expect(tasks.state).toBe('dead')
  expect(own((await tasks.start().ready).tasks)).toEqual(['new', 'pid', 'wait'])
  expect((await tasks.run(runOf('pid'))).output).toEqual(before)
  rmSync(join(folder, 'pid.py'))
  tasks.reload()
  expect(own((await tasks.start().ready).tasks)).toEqual(['new', 'wait'])
  expect(tasks.state).toBe('ready')
})

test('of two tasks of one name the first stays, and the other file is named with it', async () => {
  const tasks = startTasks(writeTasks({ 'a.ts': taskFile('same', 'return { text }'), 'b.py': pythonFile('same') }))
  const ready = await tasks.ready
  expect(own(ready.tasks)).toEqual(['same'])
  expect(ready.leftOut).toEqual([{ file: 'b.py', reason: 'the task same is in a.ts already' }])
  expect((await tasks.run(runOf('same'))).output).toEqual({ text: 'ab' })
})

test('a task over the limits of what is registered is left out with the reason, and the others are not', async () => {
  const many = Array.from({ length: 200 }, (_, at) => `export const t${at} = defineTask({ ...same, name: 't${at}' })`)
  const tasks = startTasks(
    writeTasks({
      'a.ts': taskFile('long', 'return { text }', `description: 'x'.repeat(2_001),`),
      'b.py': pythonFile('wordy', `, description="x" * 2001`),
      'c.ts': `import { defineTask } from 'semantics-cluster'
import { z } from 'zod'
const same = { input: z.object({}), output: z.object({}), run: () => ({}) }
${many.join('\n')}`
    })
  )
  const ready = await tasks.ready
  // Two are the worker's own.
  expect([ready.tasks.length, own(ready.tasks).length]).toEqual([200, 198])
  const most = { file: 'c.ts', reason: 'there are 200 tasks already, the most' }
  expect(ready.leftOut).toEqual([
    { file: 'a.ts', reason: 'the task long has a description of 2001 characters; 2000 are the most' },
    { file: 'b.py', reason: 'the task wordy has a description of 2001 characters; 2000 are the most' },
    most,
    most
  ])
})

test('a Node process that cannot start takes no Python task with it', async () => {
  const tasks = startTasks(
    writeTasks({
      'a.ts': 'process.kill(process.pid, "SIGKILL")',
      'b.ts': taskFile('b', 'return { text }'),
      'upper.py': pythonFile('upper')
    })
  )
  const ready = await tasks.ready
  expect(own(ready.tasks)).toEqual(['upper'])
  expect(ready.leftOut).toEqual([
    { file: 'a.ts', reason: expect.stringMatching(/SIGKILL/) },
    { file: 'b.ts', reason: expect.stringMatching(/SIGKILL/) }
  ])
  expect(tasks.state).toBe('ready')
  expect((await tasks.run(runOf('upper'))).output).toEqual({ text: 'AB' })
})

test('a Python file that ends the process takes no other task with it', async () => {
  const tasks = startTasks(
    writeTasks({
      'a.py': 'import os, sys; print("the last words", file=sys.stderr, flush=True); os._exit(3)',
      'b.ts': taskFile('b', 'return { text }')
    })
  )
  const ready = await tasks.ready
  expect(ready.tasks.map(task => task.name)).toEqual(['transcribe.chunk', 'transcribe.detect', 'b'])
  expect(ready.leftOut).toEqual([{ file: 'a.py', reason: expect.stringMatching(/exit code 3\.\nthe last words/) }])
  expect(tasks.state).toBe('ready')
  expect((await tasks.run(runOf('b'))).output).toEqual({ text: 'ab' })
})

test('a slot offers what it can run', async () => {
  const tasks = startTasks(
    writeTasks({
      'gpu.ts': taskFile('needs-gpu', 'return { text }', 'requires: { gpu: true },'),
      'feature.py': pythonFile('needs-feature', ', features=["no-such-program"]'),
      'shell.ts': taskFile('needs-shell', 'return { text }', `requires: { features: ['sh'] },`)
    })
  )
  expect(own((await tasks.ready).tasks)).toEqual(['needs-shell'])
  expect(tasks.notOffered.map(({ task, lack }) => `${task.name}: ${lack}`)).toEqual([
    'needs-feature: it needs no-such-program on PATH',
    'needs-gpu: it needs a GPU'
  ])
  await expect(tasks.run(runOf('needs-gpu'))).rejects.toMatchObject({ code: 'SC_TASK_UNKNOWN' })
})

test.each([
  [{ gpu: true, vramGb: 6 }, { device: 'GPU-1', classes: ['gpu.vram8', 'gpu.vram6', 'gpu', 'cpu'] }, null],
  [
    { gpu: true, vramGb: 9 },
    { device: 'GPU-1', classes: ['gpu.vram8', 'gpu', 'cpu'] },
    'it needs a GPU with 9 GB, and this one is too small'
  ],
  [
    { gpu: true, vramGb: 80 },
    { device: 'GPU-1', classes: ['gpu'] },
    'it needs 80 GB of GPU memory, more than any queue is for'
  ],
  [{ gpu: false, vramGb: 0 }, { device: 'GPU-1', classes: ['gpu'] }, 'it needs the queue cpu'],
  [{ gpu: true, vramGb: 0 }, { device: 'GPU-1', classes: ['gpu'], queues: ['gpu+mine', 'gpu'] }, null],
  [{ gpu: true, vramGb: 0 }, { device: 'cpu', classes: ['gpu', 'cpu'] }, 'it needs a GPU'],
  [{ gpu: true, vramGb: 20 }, { device: 'cpu', classes: ['cpu'] }, 'it needs a GPU with 20 GB']
])('what %o lacks on %o: %s', (needs, slot, lack) => {
  const task = { name: 't', description: '', features: [], builtIn: false, inputSchema: {}, outputSchema: {}, ...needs }
  expect(lackOf(task, slot)).toBe(lack)
})

test.each([
  [['llm'], ['llm'], false, 'it needs a local LLM server, and none answers'],
  [['llm'], ['llm'], true, null],
  [['llm'], ['cpu'], true, 'it needs the queue llm'],
  // Without its program, as in a container of its own.
  [['ollama'], ['cpu'], true, null],
  [['ollama'], ['cpu'], false, 'it needs ollama on PATH'],
  [['llm', 'nothing-has-this-name'], ['llm'], true, 'it needs nothing-has-this-name on PATH']
])('what a task with %o lacks on a slot of %o, an LLM server being there: %o', (features, classes, hasLlm, lack) => {
  const schemas = { inputSchema: {}, outputSchema: {} }
  const task = { name: 't', description: '', features, builtIn: false, gpu: false, vramGb: 0, ...schemas }
  expect(lackOf(task, { device: 'cpu', classes }, { path: '/nowhere', hasLlm })).toBe(lack)
})
