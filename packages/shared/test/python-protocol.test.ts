import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { REPO_DIR } from '../src/config.ts'
import { fromChildSchema, PYTHON_PROTOCOL, toChildSchema } from '../src/python-protocol.ts'

interface Golden {
  direction: 'to' | 'from'
  message: { type: string }
}

const lines = readFileSync(join(REPO_DIR, 'python-gpu/tests/golden.jsonl'), 'utf8').trimEnd().split('\n')
const golden = lines.map(line => JSON.parse(line) as Golden)

describe.each([
  { direction: 'to', schema: toChildSchema },
  { direction: 'from', schema: fromChildSchema }
])('lines $direction the Python process', ({ direction, schema }) => {
  const messages = golden.filter(line => line.direction === direction).map(line => line.message)

  it.each(messages)('$type is the same after parsing', message => {
    expect(schema.parse(message)).toEqual(message)
  })

  it('every type has a line', () => {
    const known = schema.options.map(option => option.shape.type.value)
    expect(new Set(messages.map(message => message.type))).toEqual(new Set(known))
  })
})

it('the lines are of the version that is spoken', () => {
  const versions = golden.flatMap(({ message }) => ('protocol' in message ? [message.protocol] : []))
  expect(new Set(versions)).toEqual(new Set([PYTHON_PROTOCOL]))
})
