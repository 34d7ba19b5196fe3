import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import { REPO_DIR } from '../src/config.ts'
import { defineTask, describeTask, isTask } from '../src/define-task.ts'
import { taskDescriptionSchema } from '../src/python-protocol.ts'
import { runTask } from '../src/task-testing.ts'

const input = z.object({ text: z.string().min(1), times: z.number().int().default(2) })
const output = z.object({ text: z.string() })

const repeat = defineTask({
  name: 'repeat',
  requires: { vramGb: 6, features: ['ollama'] },
  input,
  output,
  async run({ text, times }, { log, progress, files }) {
    expectTypeOf(times).toEqualTypeOf<number>()
    log('begins', { times })
    log.warn('half way')
    progress(0.5, { text })
    return { text: text.repeat(times) + Object.values(files).join() }
  }
})

describe('a task', () => {
  it('is told with its schemas: what is sent, and what comes back', () => {
    const told = describeTask(repeat, 'repeat.ts')
    expect(taskDescriptionSchema.parse(told)).toEqual(told)
    expect(told).toMatchObject({
      name: 'repeat',
      description: '',
      gpu: true,
      vramGb: 6,
      features: ['ollama'],
      builtIn: false,
      file: 'repeat.ts',
      inputSchema: { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object', required: ['text'] },
      outputSchema: { required: ['text'] }
    })
  })

  it('is known by having been made here', () => {
    expect(isTask(repeat)).toBe(true)
    expect(isTask({ ...repeat })).toBe(false)
    expect(isTask(null)).toBe(false)
  })

  const good = { name: 'good', input, output, run: () => ({ text: '' }) }
  it.each([
    [
      { nme: 'x' },
      'defineTask good: there is no option nme; there are name, description, requires, retryCrashes, input, output, run'
    ],
    [
      { name: 'Bad_Name' },
      `defineTask Bad_Name: name: expected 1 to 63 of a-z, 0-9, '.' and '-', beginning with a letter`
    ],
    [{ name: `a${'b'.repeat(63)}` }, /name: expected 1 to 63/],
    [{ name: 'transcribe.mine' }, 'defineTask transcribe.mine: name: names that begin with transcribe. are taken'],
    [{ name: 7, run: 'x' }, 'defineTask: name: expected a text; run: expected a function'],
    [
      { requires: { gpus: 1 } },
      'defineTask good: requires: there is no requirement gpus; there are gpu, vramGb, features'
    ],
    [{ requires: { vramGb: -1 } }, 'defineTask good: requires.vramGb: expected 0 or more'],
    [{ requires: { gpu: false, vramGb: 6 } }, 'defineTask good: requires.gpu: vramGb needs a GPU'],
    [{ requires: { features: ['/bin/sh'] } }, `defineTask good: requires.features.0: expected a program's name`],
    [{ input: { text: 'string' } }, 'defineTask good: input: expected a zod schema, like z.object({ … })'],
    [{ input: z.string() }, 'defineTask good: input: expected a z.object({ … })'],
    [
      { input: z.object({ files: z.string() }) },
      'defineTask good: input: the field files is taken by the files of the unit'
    ],
    [{ output: z.object({ at: z.date() }) }, /^defineTask good: output: cannot be told as JSON Schema: /]
  ])('refuses %o', (change, message) => {
    const wrong = { ...good, ...change } as unknown as typeof good
    expect(() => defineTask(wrong)).toThrow(
      expect.objectContaining({
        code: 'SC_CONFIG',
        message: expect.toSatisfy((said: string) =>
          typeof message === 'string' ? said === message : message.test(said)
        )
      })
    )
  })
})

/** Python's `@task` is tested with the same names. */
const names = JSON.parse(readFileSync(join(REPO_DIR, 'python-gpu/tests/names.json'), 'utf8')) as Record<
  'task' | 'feature',
  { good: string[]; bad: string[] }
>

describe('names', () => {
  const define = (more: object) => () => defineTask({ name: 'a', input, output, run: () => ({ text: '' }), ...more })

  it.each(names.task.good)('a task may be called %j', name => expect(define({ name })).not.toThrow())
  it.each(names.task.bad)('no task may be called %j', name =>
    expect(define({ name })).toThrow('name: expected 1 to 63')
  )
  it.each(names.feature.good)('a program may be called %j', name =>
    expect(define({ requires: { features: [name] } })).not.toThrow()
  )
  it.each(names.feature.bad)('no program may be called %j', name =>
    expect(define({ requires: { features: [name] } })).toThrow("expected a program's name")
  )
})

describe('a unit test of a task', () => {
  it('answers output, log and progress', async () => {
    const record = await runTask(repeat, { text: 'ab' }, { files: { input: '!' } })
    expectTypeOf(record.output).toEqualTypeOf<{ text: string }>()
    expect(record).toEqual({
      output: { text: 'abab!' },
      logs: [
        { level: 'info', message: 'begins', fields: { times: 2 } },
        { level: 'warn', message: 'half way', fields: {} }
      ],
      progress: [{ fraction: 0.5, partial: { text: 'ab' } }]
    })
  })

  it.each([
    [{ a: [1, Number.NaN] }, 'output.text.a.1: NaN is no number of JSON'],
    [new Map([['a', 1]]), 'output.text: JSON has no Map: use Object.fromEntries'],
    [{ a: new Set([1]) }, 'output.text.a: JSON has no Set: use Array.from'],
    [{ a: () => 1 }, 'output.text.a: JSON has no function'],
    [[Symbol('a')], 'output.text.0: JSON has no symbol'],
    [[1, undefined], 'output.text.1: JSON has no undefined'],
    [{ a: 10n }, 'output.text.a: JSON has no bigint'],
    [Promise.resolve(1), 'output.text: JSON has no Promise: await it'],
    ['\ud800', 'output.text: half of a surrogate pair is no text']
  ])('refuses an output that JSON would change: %o', async (text, fault) => {
    const any = defineTask({ name: 'any', input, output: z.object({ text: z.unknown() }), run: () => ({ text }) })
    const message = `The output of any is not valid: ${fault}`
    await expect(runTask(any, { text: 'a' })).rejects.toMatchObject({ code: 'SC_TASK_FAILED', message })
  })

  it('keeps what JSON keeps', async () => {
    const text = { zebra: 1, b: [null, new Date(0), { left: undefined }], a: 1e308 }
    const any = defineTask({ name: 'any', input, output: z.object({ text: z.unknown() }), run: () => ({ text }) })
    expect((await runTask(any, { text: 'a' })).output).toEqual({ text })
  })

  it('takes whatever it is told', async () => {
    const talker = defineTask({
      name: 'talker',
      input,
      output,
      run: (_, { log }) => {
        const say = log.info as (...what: unknown[]) => void
        say({ length: 3 }, 'as pino has it')
        say(42)
        say(Symbol('a'), 7)
        say({ toString: () => 1 })
        log.warn('a', { b: 1 })
        return { text: '' }
      }
    })
    const { logs } = await runTask(talker, { text: 'a' })
    expect(logs.map(({ message, fields }) => [message, fields])).toEqual([
      ['as pino has it', { length: 3 }],
      ['42', {}],
      ['Symbol(a)', { value: 7 }],
      ['', { toString: expect.any(Function) }],
      ['a', { b: 1 }]
    ])
  })

  it('checks input and output, and hands on what the task throws', async () => {
    await expect(runTask(repeat, { text: '' })).rejects.toMatchObject({ code: 'SC_TASK_INPUT', message: /text: / })
    const broken = defineTask({
      name: 'broken',
      input,
      output,
      run: () => ({ words: 7 }) as unknown as { text: string }
    })
    await expect(runTask(broken, { text: 'a' })).rejects.toMatchObject({
      code: 'SC_TASK_FAILED',
      message: /^The output of broken is not valid: text: /
    })
    const thrower = defineTask({
      name: 'thrower',
      input,
      output,
      run: () => {
        throw new RangeError('mine')
      }
    })
    await expect(runTask(thrower, { text: 'a' })).rejects.toThrow(new RangeError('mine'))
  })
})
