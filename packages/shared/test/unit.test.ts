import { expect, test } from 'vitest'
import { outboxMessageSchema } from '../src/unit.ts'

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

function namesKept(tasks: object[]): string[] {
  const message = outboxMessageSchema.parse({ type: 'registered', tasks })
  return message.type === 'registered' ? message.tasks.map(({ name }) => name) : []
}

test('of what a worker registers, that is dropped which is over the limits, and the rest is kept', () => {
  const schemaOf = (bytes: number) => ({ a: 'x'.repeat(bytes - 8) })
  expect(
    namesKept([
      task('good', { description: 'x'.repeat(2_000), inputSchema: schemaOf(64 * 1024), features: Array(50).fill('f') }),
      task('description', { description: 'x'.repeat(2_001) }),
      task('input', { inputSchema: schemaOf(64 * 1024 + 1) }),
      task('output', { outputSchema: schemaOf(64 * 1024 + 1) }),
      task('features', { features: Array(51).fill('f') }),
      task('n'.repeat(64)),
      task('also-good')
    ])
  ).toEqual(['good', 'also-good'])
})

test('no more than 200 tasks of a worker are kept', () => {
  const names = Array.from({ length: 201 }, (_, at) => `t${at}`)
  expect(namesKept(names.map(name => task(name)))).toEqual(names.slice(0, 200))
})
