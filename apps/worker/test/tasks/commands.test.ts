import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { printableText } from '@sc/shared/printable.ts'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { pythonFile, taskFile, writeTasks } from './write-tasks.ts'

const main = join(REPO_DIR, 'apps/worker/src/main.js')
const examples = join(REPO_DIR, 'examples/tasks')

function task(tasksDir: string, ...args: string[]) {
  const env = { ...childEnv(), SC_TASKS_DIR: tasksDir, LOG_LEVEL: 'info' }
  return execa(process.execPath, [main, 'task', ...args], { env, extendEnv: false, reject: false })
}

test('task run: the examples of docs/add-a-task.md, with no cluster', async () => {
  const words = await task(examples, 'run', 'word-count', '{"text":"one two\\nthree"}')
  expect(words).toMatchObject({ exitCode: 0, stdout: '{"words":3,"lines":2}', stderr: /"words":3,"msg":"Counted"/ })
  const common = await task(examples, 'run', 'common-words', '{"text":"a rose is a rose is a rose"}')
  expect(common.stdout).toBe('{"words":[{"word":"a","times":3},{"word":"rose","times":3},{"word":"is","times":2}]}')
})

test('task run: what is wrong is said in one sentence', async () => {
  const tasksDir = writeTasks({
    'gpu.ts': taskFile('on-gpu', 'return { text }', `requires: { features: ['no-such-program'] },`),
    'broken.py': 'import no_such_module'
  })
  const [input, unknown, lacking, noFolder, job, unset, noInput] = await Promise.all([
    task(examples, 'run', 'word-count', '{"txt":"a"}'),
    task(tasksDir, 'run', 'nowhere', '{}'),
    task(tasksDir, 'run', 'on-gpu', '{"text":"a"}'),
    task(join(tasksDir, 'nowhere'), 'list'),
    task(examples, 'run', 'count-lines', '{}'),
    task('', 'run', 'word-count', '{}'),
    task(examples, 'run', 'word-count')
  ])
  expect(input).toMatchObject({ exitCode: 1, stdout: '', stderr: /^The input of word-count is not valid: text: / })
  expect(unknown.stderr).toMatch(
    /There is no task nowhere; there are .*\nbroken\.py is left out: line 1: ModuleNotFound/
  )
  expect(lacking.stderr).toMatch(/The task on-gpu is not offered here: it needs no-such-program on PATH\.$/)
  expect(noFolder).toMatchObject({ exitCode: 2, stderr: `SC_TASKS_DIR: there is no folder ${tasksDir}/nowhere.` })
  expect(job.stderr).toMatch(
    /There is no task count-lines; .*\nLooked in .*; a job \(defineJob\) runs on a cluster alone\.$/
  )
  expect(unset.stderr).toMatch(/There is no task word-count; .*\nSC_TASKS_DIR is not set: /)
  expect(noInput).toMatchObject({ exitCode: 2, stderr: /missing required argument 'json'[\s\S]*its input, such as/ })
})

test('task list: names, what they need, and what was left out', async () => {
  const tasksDir = writeTasks({
    'a.ts': taskFile('a', 'return { text }', `description: 'Gives it back', requires: { features: ['sh'] },`),
    'b.py': pythonFile('b', ', features=["no-such-program"]'),
    'c.mjs': 'nothing good'
  })
  const { stdout, exitCode } = await task(tasksDir, 'list')
  expect(stdout).toMatch(/^transcribe\.chunk +cpu +built in$/m)
  expect(stdout).toMatch(/^a +cpu, sh +a\.ts +Gives it back$/m)
  expect(stdout).toMatch(/^b +cpu, no-such-program +b\.py +not offered here: it needs no-such-program on PATH$/m)
  expect(stdout).toMatch(/^left out: c\.mjs: /m)
  expect(exitCode).toBe(1)
  expect((await task(examples, 'list')).exitCode).toBe(0)
})

test('task test: the unit tests of both languages, and those that are named', async () => {
  const all = await task(examples, 'test')
  expect(all).toMatchObject({ exitCode: 0, stdout: /counts words and lines/, stderr: /Ran 2 tests/ })
  const named = await task(examples, 'test', join(examples, 'test_common_words.py'))
  expect(named).toMatchObject({ exitCode: 0, stdout: '', stderr: /Ran 2 tests/ })
  const failing = writeTasks({ 'a.test.ts': `import { test } from 'node:test'; test('fails', () => { throw 1 })` })
  expect((await task(failing, 'test')).exitCode).toBe(1)
  expect(await task(writeTasks({}), 'test')).toMatchObject({ exitCode: 2, stderr: /There is no test in / })
})

test('docs/add-a-task.md shows the files of examples/tasks as they are', () => {
  const document = readFileSync(join(REPO_DIR, 'docs/add-a-task.md'), 'utf8')
  for (const name of [
    'word-count.ts',
    'word-count.test.ts',
    'count-lines.ts',
    'common_words.py',
    'test_common_words.py'
  ])
    expect(document, name).toContain(`\n${readFileSync(join(examples, name), 'utf8')}\`\`\`\n`)
})

test('what files and tasks say has no command for the terminal; JSON keeps its value', async () => {
  const bad = '\\u001b]0;owned\\u0007\\u009b31m\\u202e\\u2028'
  const tasksDir = writeTasks({
    'a.ts': taskFile('a', `return { text: text + '${bad}' }`, `description: 'Gives${bad} it back',`),
    'c.mjs': `throw new Error('broken${bad}')`
  })
  const value = JSON.parse(`"a${bad}"`)
  const ran = await task(tasksDir, 'run', 'a', '{"text":"a"}')
  expect(JSON.parse(ran.stdout)).toEqual({ text: value })
  const listed = await task(tasksDir, 'list')
  expect(listed.stdout).toMatch(/^a .*Gives .*it back$/m)
  expect(listed.stdout).toMatch(/^left out: c\.mjs: .*broken/m)
  for (const { stdout, stderr } of [ran, listed])
    for (const text of [stdout, stderr]) expect(text).toBe(printableText(text))
})
