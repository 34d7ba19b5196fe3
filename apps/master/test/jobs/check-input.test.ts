import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { createCheckLines } from '../../src/jobs/check-lines.ts'
import { type CheckPool, createCheckPool } from '../../src/jobs/check-pool.ts'
import { compileSchema } from '../../src/jobs/json-schema.ts'
import { isCheap, isPlainSchema } from '../../src/jobs/plain-schema.ts'
import { createCheckInput, createCheckText } from '../../src/jobs/task-input.ts'

const pool = createCheckPool()
afterAll(() => pool.close())

const asker = (keyId: string) => ({ keyId, signal: () => new AbortController().signal })
const named = (name: string) => ({ name, isThere: async () => true })
/** As `check` of the pool, for a task and a key of one name. */
const checkIn = async (where: CheckPool, name: string, request: Parameters<CheckPool['check']>[2]) =>
  await where.check(asker(name), named(name), request)
const task = (inputSchema: Record<string, unknown>) => ({ name: 'any', isJob: false, inputSchema })
function inputChecker(where: Pick<CheckPool, 'check'>) {
  const check = createCheckInput(where, { find: async () => undefined })
  return async (task: Parameters<typeof check>[0], input: unknown) =>
    await check(task, JSON.stringify(input) ?? 'null', asker('any'))
}
const NO_POOL: Pick<CheckPool, 'check'> = {
  check: () => Promise.reject(new Error('it went to a thread'))
}

/** Plain schemas about fields a and b. */
const plain = fc.letrec<{ schema: object | boolean }>(tie => {
  const small = fc.integer({ min: 0, max: 3 })
  const keywords = {
    type: fc.constantFrom('string', 'integer', 'number', 'object', 'array', 'boolean', 'null', ['string', 'null']),
    enum: fc.uniqueArray(fc.constantFrom('a', 1, null, true, 'b'), { minLength: 1 }),
    const: fc.constantFrom('a', 1, null, [], {}),
    required: fc.uniqueArray(fc.constantFrom('a', 'b'), { maxLength: 2 }),
    minimum: small,
    exclusiveMaximum: small,
    minLength: small,
    maxItems: small,
    maxProperties: small,
    properties: fc.dictionary(fc.constantFrom('a', 'b'), tie('schema')),
    additionalProperties: tie('schema'),
    items: tie('schema'),
    anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
    oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
    allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
    pattern: fc.constant('^(a+)+$'),
    description: fc.string()
  }
  return {
    schema: fc.oneof({ maxDepth: 2 }, fc.boolean(), fc.record(keywords, { requiredKeys: [] }))
  }
}).schema

const anInput = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom('', 'a', 'b', 'long text', 0, 1, 2.5, null, true),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'))
  )
})).value

describe('an input is checked', () => {
  it('in place where schema and input are plain and small, with the same outcome as in a thread', async () => {
    await fc.assert(
      fc.asyncProperty(plain, anInput, async (schema, input) => {
        fc.pre(typeof schema === 'object')
        expect(isPlainSchema(schema)).toBe(true)
        const [text, inputText] = [JSON.stringify(schema), JSON.stringify(input)]
        const faults = compileSchema(text, true)(JSON.parse(inputText))
        const outcome = await checkIn(pool, 'any', { schema: text, input: inputText })
        expect(outcome).toMatchObject({ type: 'faults', faults })
      }),
      { numRuns: 100 }
    )
  })

  it('without a thread for the plain tasks that most are', async () => {
    const check = inputChecker(NO_POOL)
    const schema = { type: 'object', properties: { text: { type: 'string' }, at: { anyOf: [{ type: 'null' }] } } }
    expect(await check(task({}), {})).toEqual({})
    expect(await check(task(schema), { text: 'one' })).toEqual({ text: 'one' })
    await expect(check(task(schema), { text: 1 })).rejects.toMatchObject({ code: 'SC_TASK_INPUT' })
    await expect(check(task({ type: 'none' }), {})).rejects.toMatchObject({ code: 'SC_TASK_UNFIT' })
  })

  it('in a thread where a keyword or the size could cost more', async () => {
    const costly: Array<[Record<string, unknown>, unknown]> = [
      ...['uniqueItems', '$ref', '$dynamicRef', 'contains', 'propertyNames', 'not', 'if', 'multipleOf'],
      ...['unevaluatedProperties', 'unevaluatedItems', 'dependentSchemas', 'patternProperties', 'prefixItems', '$defs']
    ].map(keyword => [{ properties: { a: { items: { anyOf: [{ [keyword]: true }] } } } }, {}])
    costly.push([{ type: 'object' }, { a: 'x'.repeat(100_000) }], [{ enum: ['x'.repeat(10_000)] }, {}])
    for (const [schema, input] of costly) {
      const text = JSON.stringify(schema)
      expect(isCheap(text, isPlainSchema(schema), JSON.stringify(input)), text.slice(0, 100)).toBe(false)
    }
    const check = inputChecker(NO_POOL)
    await expect(check(task({ uniqueItems: true }), {})).rejects.toThrow('it went to a thread')
  })

  it('as text: one that a thread checked becomes no object here', async () => {
    const checkText = createCheckText(pool, { find: async () => undefined })
    const check = (input: string, schema = {}) => checkText(task({ ...schema, uniqueItems: true }), input, asker('any'))
    expect(await check('{"a":[{}]}')).toBeNull()
    await expect(check('{"files":1}')).rejects.toMatchObject({
      message: expect.stringContaining('files: is not known')
    })
    await expect(check('[]')).rejects.toMatchObject({ message: expect.stringContaining('input: must be an object') })
    const small = await checkText(task({}), '{"a":1}', asker('any'))
    expect(small).toEqual({ a: 1 })
  })

  it('against no schema that an earlier version registered and this one would not', async () => {
    const check = inputChecker(NO_POOL)
    for (const schema of [
      { $ref: '#' },
      { allOf: [{ $ref: '#' }] },
      JSON.parse(`${'{"not":'.repeat(150_000)}{}${'}'.repeat(150_000)}`)
    ])
      await expect(check(task(schema), {})).rejects.toMatchObject({ code: 'SC_TASK_UNFIT' })
  })
})

describe('a thread of the pool', () => {
  it('is replaced when it takes too long, and says whether the schema or the input did', async () => {
    const own = createCheckPool({ threads: 1, deadlineMs: 300 })
    try {
      const input = JSON.stringify(Array.from({ length: 100_000 }, (_, at) => [at]))
      const late = checkIn(own, 'late', { schema: '{"uniqueItems":true}', input })
      const next = checkIn(own, 'next', { schema: '{"type":"string"}', input: '1' })
      expect(await late).toEqual({ type: 'exceeded', of: 'input' })
      expect(await next).toMatchObject({ type: 'faults', faults: { named: ['input: must be string'] } })
    } finally {
      await own.close()
    }
  })

  it('answers where a schema goes deeper than the stack, and is none', async () => {
    const chain = Array.from({ length: 30_000 }, (_, at) => [`d${at}`, { $ref: `#/$defs/d${at + 1}` }])
    const schema = JSON.stringify({ $ref: '#/$defs/d0', $defs: Object.fromEntries([...chain, ['d30000', {}]]) })
    expect(await checkIn(pool, 'chain', { schema, input: '{}' })).toMatchObject({
      type: expect.stringMatching(/unfit|failed/)
    })
    expect(await checkIn(pool, 'none', { schema: '{"$ref":"#/none"}', input: '{}' })).toMatchObject({ type: 'unfit' })
    const loop = await checkIn(pool, 'loop', { schema: '{"$ref":"#"}', input: '{}' })
    expect(loop).toMatchObject({ type: 'failed' })
  })

  it('goes to the keys in turn, and in a key to its tasks', async () => {
    const own = createCheckPool({ threads: 1 })
    try {
      const order: string[] = []
      const check = async (keyId: string, name: string) => {
        await own.check(asker(keyId), named(name), { schema: '{}', input: '1' })
        order.push(`${keyId} ${name}`)
      }
      const [many, few] = [
        ['x', 'x', 'x', 'y', 'y'],
        ['x', 'x']
      ]
      await Promise.all([...many.map(name => check('many', name)), ...few.map(name => check('few', name))])
      expect(order).toEqual(['many x', 'many x', 'few x', 'many y', 'few x', 'many x', 'many y'])
    } finally {
      await own.close()
    }
  })

  it('has one check of a key at a time, and the other thread those of others', async () => {
    const own = createCheckPool({ threads: 2, deadlineMs: 2_000 })
    try {
      const input = JSON.stringify(Array.from({ length: 100_000 }, (_, at) => [at]))
      const costly = ['a', 'b', 'c'].map(async name => {
        await own.check(asker('many'), named(name), { schema: '{"uniqueItems":true}', input })
      })
      const done = Promise.race(costly)
      // Of the same task.
      const other = own.check(asker('few'), named('b'), { schema: '{}', input: '1' }).then(() => 'other')
      expect(await Promise.race([done, other])).toBe('other')
      await Promise.all(costly)
    } finally {
      await own.close()
    }
  })

  it('drops what waits when nobody waits for the answer any more, or when its task is gone', async () => {
    const own = createCheckPool({ threads: 1, deadlineMs: 1_500 })
    try {
      const input = JSON.stringify(Array.from({ length: 100_000 }, (_, at) => [at]))
      const busy = own.check(asker('any'), named('busy'), { schema: '{"uniqueItems":true}', input })
      const left = new AbortController()
      const request = { schema: '{}', input: '1' }
      const dropped = own.check({ keyId: 'any', signal: () => left.signal }, named('busy'), request)
      const gone = own.check(asker('any'), { name: 'gone', isThere: async () => false }, request)
      const stays = own.check(asker('any'), named('stays'), request)
      left.abort()
      await expect(dropped).rejects.toMatchObject({ code: 'SC_CANCELLED' })
      await Promise.all([busy, expect(gone).rejects.toMatchObject({ code: 'SC_TASK_UNKNOWN' })])
      expect(await stays).toMatchObject({ type: 'faults' })
    } finally {
      await own.close()
    }
  })

  it('refuses for the key that has most when too much waits in all', () => {
    const lines = createCheckLines({ mostChars: 100 })
    const refused: string[] = []
    const add = (keyId: string, chars: number) =>
      lines.add({ keyId, task: 'any', chars, refuse: ({ code }) => refused.push(`${keyId} ${chars} ${code}`) })
    add('many', 40)
    add('many', 50)
    add('few', 30)
    expect(refused).toEqual(['many 50 SC_OVERLOADED'])
    expect(() => add('many', 40)).toThrow(/Send fewer/)
    add('few', 5)
    expect(lines.all().map(({ chars }) => chars)).toEqual([40, 30, 5])
  })

  it('refuses what waits too long in line, and all that waits when it closes', async () => {
    const own = createCheckPool({ threads: 1 })
    const busy = checkIn(own, 'task', { schema: '{"uniqueItems":true}', input: JSON.stringify(Array(40_000).fill([])) })
    const large = JSON.stringify('x'.repeat(9 * 1024 ** 2))
    const waits = checkIn(own, 'task', { schema: '{}', input: large })
    await expect(checkIn(own, 'task', { schema: '{}', input: large })).rejects.toMatchObject({ code: 'SC_OVERLOADED' })
    const ended = Promise.allSettled([busy, waits])
    await own.close()
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await expect(checkIn(own, 'task', { schema: '{}', input: '1' })).rejects.toMatchObject({ code: 'SC_UNAVAILABLE' })
  })
})

it('an input whose numbers PostgreSQL would write with far too many digits is refused', async () => {
  const check = inputChecker(pool)
  const numbers = (count: number) => ({ list: Array.from({ length: count }, () => 1e300) })
  await expect(check(task({}), numbers(4_000))).rejects.toMatchObject({ code: 'SC_TASK_INPUT' })
  expect(await check(task({}), numbers(100))).toEqual(numbers(100))
})
