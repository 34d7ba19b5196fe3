import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKey, revokeKey } from '../../src/http/key-rows.ts'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

/** What somebody with a `submit` key sends to the schemas of tasks, and what a worker makes of its schemas. */

const list = (length: number, item: (at: number) => unknown) => Array.from({ length }, (_, at) => item(at))
const numbers = (length: number) => list(length, at => at)
const inA = (schema: object) => ({ type: 'object', properties: { a: schema } })
function nest(levels: number): object {
  let value: object = {}
  for (let level = 0; level < levels; level++) value = { a: value }
  return value
}

const TAKEN = 'taken'

/** Of each: a schema that may be registered, and an input of at most a megabyte. */
const ATTACKS: Record<string, { schema: object; input: object; codes: string[] }> = {
  'uniqueItems on 229 KB': {
    schema: inA({ uniqueItems: true }),
    input: { a: list(33_000, at => [at]) },
    codes: ['SC_TASK_INPUT_COSTLY']
  },
  // Formats are checked by the task itself.
  'format url on 40 KB': {
    schema: inA({ format: 'url' }),
    input: { a: `http://${':'.repeat(40_000)}` },
    codes: [TAKEN]
  },
  'format url on 900 KB': {
    schema: inA({ format: 'url' }),
    input: { a: `http://${':'.repeat(900_000)}` },
    codes: [TAKEN]
  },
  'names of a format': {
    schema: { propertyNames: { format: 'url' } },
    input: { [`http://${':'.repeat(900_000)}`]: 1 },
    codes: [TAKEN]
  },
  'a schema that doubles with each level of the input': {
    schema: { $ref: '#/$defs/T', $defs: { T: { allOf: list(2, () => inA({ $ref: '#/$defs/T' })) } } },
    input: nest(60),
    codes: ['SC_TASK_INPUT_COSTLY']
  },
  'the same by anyOf and unevaluatedProperties': {
    schema: {
      $ref: '#/$defs/T',
      $defs: { T: { anyOf: list(2, () => inA({ $ref: '#/$defs/T' })), unevaluatedProperties: false } }
    },
    input: nest(60),
    codes: ['SC_TASK_INPUT_COSTLY']
  },
  'a long enum for each of many items': {
    schema: inA({ items: { enum: numbers(9_000) } }),
    input: { a: list(140_000, at => -at) },
    codes: ['SC_TASK_INPUT', 'SC_TASK_INPUT_COSTLY']
  },
  'many required fields for each of many items': {
    schema: inA({ items: { required: list(6_000, at => `f${at}`) } }),
    input: { a: list(300_000, () => ({})) },
    codes: ['SC_TASK_INPUT', 'SC_TASK_INPUT_COSTLY']
  },
  'contains of contains': {
    schema: inA({ contains: { contains: { uniqueItems: true, minItems: 9e6 } } }),
    input: { a: list(300, () => list(300, () => [])) },
    codes: ['SC_TASK_INPUT', 'SC_TASK_INPUT_COSTLY']
  }
}

let one: TestApp
let url: string
beforeAll(async () => {
  one = await startApp()
  url = await one.listen()
  const attacks = Object.values(ATTACKS).map(({ schema }, at) => ({
    ...WORD_COUNT,
    name: `a${at}`,
    inputSchema: schema
  }))
  await registerTasks(one, 'desk', [...attacks, WORD_COUNT] as Array<typeof WORD_COUNT>)
})
afterAll(() => one.release())

async function post(name: string, input: object): Promise<{ status: number; code?: string }> {
  const headers = { ...one.bearer('submit'), 'content-type': 'application/json' }
  const body = JSON.stringify({ input })
  const answer = await fetch(`${url}/api/tasks/${name}`, { method: 'POST', headers, body })
  return { ...((await answer.json()) as object), status: answer.status }
}

/** Its code; `gone`: the client hung up first. */
async function costlyAnswer(key: string, signal: AbortSignal): Promise<string> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ input: ATTACKS['uniqueItems on 229 KB']?.input })
  const answer = await fetch(`${url}/api/tasks/a0`, { method: 'POST', headers, body, signal }).catch(() => null)
  return answer ? ((await answer.json()) as { code: string }).code : 'gone'
}

/** The longest that `GET /healthz` took until `work` was done. */
async function longestHealthz(work: Promise<unknown>): Promise<number> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  let longestMs = 0
  while (!isDone) {
    const askedMs = performance.now()
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    longestMs = Math.max(longestMs, performance.now() - askedMs)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await done
  return longestMs
}

describe('an input that costs too much to check', () => {
  it.each(Object.entries(ATTACKS))('holds up nobody: %s', async (title, attack) => {
    const name = `a${Object.keys(ATTACKS).indexOf(title)}`
    const answer = post(name, attack.input)
    expect(await longestHealthz(answer)).toBeLessThan(1_000)
    const { status, code } = await answer
    expect(attack.codes).toContain(code ?? TAKEN)
    expect(status).toBe(code ? 422 : 202)
  })

  it('holds up neither other tasks nor small inputs of the same', async () => {
    const [costly] = Object.values(ATTACKS)
    const order: string[] = []
    const sent = ['first', 'second', 'third'].map(async name => {
      await post('a0', (costly as { input: object }).input)
      order.push(name)
    })
    // Its schema has a format and a reference: it is checked in a thread.
    const input = { text: 'one', since: '2026-01-01T00:00:00Z', options: { deep: 1 } }
    const other = post('word-count', input).then(answer => order.push(`other ${answer.status}`))
    await Promise.all([...sent, other])
    expect(order.indexOf('other 202')).toBeLessThan(order.indexOf('third'))
    expect((await post('a0', { a: [1, 2] })).status).toBe(202)
  })

  it('holds up no other key, and is dropped when its client hung up or its key was revoked', async () => {
    const own = await createKey(one.deps.db, { name: 'own', scopes: ['submit'] })
    const left = new AbortController()
    const waits = () => costlyAnswer(own.key, AbortSignal.timeout(60_000))
    const answers = Array.from({ length: 20 }, () => costlyAnswer(own.key, left.signal))
    const small = { text: 'one', since: '2026-01-01T00:00:00Z', options: { deep: 1 } }
    await new Promise(resolve => setTimeout(resolve, 1_000))
    const askedMs = performance.now()
    expect((await post('word-count', small)).status).toBe(202)
    expect(performance.now() - askedMs).toBeLessThan(1_500)
    left.abort()
    expect(await Promise.all(answers)).toEqual(answers.map(() => 'gone'))
    // Those of twenty would take 40 s.
    const [running, waiting] = [waits(), waits()]
    expect(await running).toBe('SC_TASK_INPUT_COSTLY')
    await waiting
    const [first, ...others] = [waits(), waits(), waits(), waits()]
    await new Promise(resolve => setTimeout(resolve, 500))
    await revokeKey(one.deps.db, own.keyId, 'test')
    expect(await first).toMatch(/^SC_/)
    expect(await others.at(-1)).toBe('SC_CANCELLED')
  }, 30_000)
})
