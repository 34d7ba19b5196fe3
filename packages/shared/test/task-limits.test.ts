import { expect, test } from 'vitest'
import { taskDescriptionSchema } from '../src/python-protocol.ts'
import { sortTasks } from '../src/task-limits.ts'

const task = (name: string, more: object = {}) => ({
  name,
  description: '',
  gpu: false,
  vramGb: 0,
  features: [],
  builtIn: false,
  inputSchema: {},
  outputSchema: {},
  ...more
})

const sorted = (tasks: object[]) => sortTasks(taskDescriptionSchema.array().parse(tasks))
const namesKept = (tasks: object[]) => sorted(tasks).accepted.map(({ name }) => name)

test('of what a worker registers, that is left out which is over the limits, with the reason, and the rest is kept', () => {
  const schemaOf = (bytes: number) => ({ a: 'x'.repeat(bytes - 8) })
  const { accepted, refused } = sorted([
    task('good', { description: 'x'.repeat(2_000), inputSchema: schemaOf(64 * 1024), features: Array(50).fill('f') }),
    task('description', { description: 'x'.repeat(2_001) }),
    task('input', { inputSchema: schemaOf(64 * 1024 + 1) }),
    task('output', { outputSchema: schemaOf(64 * 1024 + 1) }),
    task('digits', { inputSchema: { default: Array(300).fill(1e300) } }),
    task('loop', { inputSchema: { $ref: '#' } }),
    task('features', { features: Array(51).fill('f') }),
    task('n'.repeat(64)),
    task('\u001b[31m'),
    task('also-good'),
    task('good', { gpu: true }),
    task('everywhere', { builtIn: true }),
    task('vast', { vramGb: 1e308 }),
    task('transcribe.chunk', { builtIn: true })
  ])
  expect(accepted.map(({ name }) => name)).toEqual(['good', 'also-good', 'transcribe.chunk'])
  expect(refused).toEqual([
    { name: 'description', reason: expect.stringMatching(/2001 characters; 2000/) },
    { name: 'input', reason: expect.stringMatching(/an input schema of 65 KB; 64 KB/) },
    { name: 'output', reason: expect.stringMatching(/an output schema of 65 KB/) },
    { name: 'digits', reason: expect.stringMatching(/an input schema of 90 KB; 64 KB/) },
    { name: 'loop', reason: expect.stringMatching(/an input schema that refers to itself/) },
    { name: 'features', reason: expect.stringMatching(/51 features; 50/) },
    { name: 'n'.repeat(64), reason: expect.stringMatching(/the name of a task/) },
    { name: ' [31m', reason: expect.stringMatching(/the name of a task/) },
    { name: 'good', reason: expect.stringMatching(/the same name/) },
    { name: 'everywhere', reason: expect.stringMatching(/only the steps of a transcription/) },
    { name: 'vast', reason: expect.stringMatching(/GB of GPU memory/) }
  ])
})

test('no more than 200 tasks of a worker are kept', () => {
  const names = Array.from({ length: 300 }, (_, at) => `t${at}`)
  expect(namesKept(names.map(name => task(name)))).toEqual(names.slice(0, 200))
  expect(sorted(names.map(name => task(name))).refused[0]).toMatchObject({ name: 't200', reason: /200 tasks already/ })
})

test('the tasks of a worker have 256 KB together, and the one that goes beyond', () => {
  const large = { inputSchema: { a: 'x'.repeat(60 * 1024) }, outputSchema: { a: 'x'.repeat(60 * 1024) } }
  const { accepted, refused } = sorted(Array.from({ length: 20 }, (_, at) => task(`t${at}`, large)))
  expect(accepted).toHaveLength(3)
  expect(refused[0]).toMatchObject({ name: 't3', reason: /256 KB, the most of all together/ })
})
