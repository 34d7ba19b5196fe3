import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

const KEEP = {
  ...WORD_COUNT,
  name: 'keep',
  inputSchema: {
    type: 'object',
    properties: { a: {}, n: { default: 5 }, in: { type: 'object', properties: { x: { default: [1] } } } }
  }
}
const PATH = '/api/tasks/keep'

let one: TestApp
let url: string
beforeAll(async () => {
  one = await startApp()
  url = await one.listen()
  await registerTasks(one, 'desk', [KEEP] as unknown as Array<typeof WORD_COUNT>)
})
afterAll(() => one?.release())

async function post(body: string | Buffer, headers: Record<string, string> = {}) {
  const answer = await fetch(`${url}${PATH}`, {
    method: 'POST',
    headers: { ...one.bearer('submit'), 'content-type': 'application/json', ...headers },
    body
  })
  const { code, detail } = (await answer.json()) as { code?: string; detail?: string }
  return [answer.status, code, detail]
}

describe('a body', () => {
  it.each([
    [
      '{"input":{"n":9007199254740993}}',
      'input.n: 9007199254740993 is no number that is kept exactly; send it as text.'
    ],
    ['{"input":{"a":[0,{"n":1e400}]}}', 'input.a.1.n: 1e400 is no number that is kept exactly; send it as text.'],
    [`{"input":${'['.repeat(5_000)}${']'.repeat(5_000)}}`, 'input is nested in more than 100 levels.']
  ])('whose input would become another is refused, by its path: %s', async (body, detail) => {
    expect(await post(body)).toEqual([422, 'SC_TASK_INPUT', detail])
  })

  it.each([
    ['{"priority":1e400}', 'priority: 1e400 is no number that is kept exactly; send it as text.'],
    ['['.repeat(200), 'The body is nested in more than 100 levels.'],
    [
      '{"input":{"__proto__":{"a":1}}}',
      'The body has a field __proto__, or constructor with prototype in it: rename it.'
    ],
    ['{"input":{}', expect.stringMatching(/^The body is not JSON: .*position 11/)],
    [' ', 'The body is empty; it came as application/json.'],
    [Buffer.from('{"input":{"a":"caf\xe9"}}', 'latin1'), 'The body is no text in UTF-8, as JSON is.']
  ])('that is no JSON, or none that can be taken, is refused for what it is: %s', async (body, detail) => {
    expect(await post(body)).toEqual([400, 'SC_BAD_REQUEST', detail])
  })

  it('that is empty, though JSON was said, is taken by a route that has none', async () => {
    const headers = { ...one.bearer('submit'), 'content-type': 'application/json' }
    const answer = await fetch(`${url}/api/jobs/0b0f0b0f-0000-4000-8000-000000000000`, { method: 'DELETE', headers })
    expect(await answer.json()).toMatchObject({ code: 'SC_NOT_FOUND' })
    expect(await post('')).toEqual([400, 'SC_BAD_REQUEST', 'The body is empty; it came as application/json.'])
  })

  it('that comes as text is refused for that', async () => {
    expect(await post('{"input":{}}', { 'content-type': 'text/plain' })).toEqual([
      400,
      'SC_BAD_REQUEST',
      'The body came as text/plain; send application/json, or multipart/form-data for a recording.'
    ])
  })

  it('that is no object where one is needed is refused once', async () => {
    const detail = 'The input of keep is not valid. input: must be an object'
    for (const input of ['"a"', '[]', 'null', '3'])
      expect(await post(`{"input":${input}}`)).toEqual([422, 'SC_TASK_INPUT', detail])
  })

  it('that is compressed is refused as such', async () => {
    expect(await post(gzipSync('{"input":{}}'), { 'content-encoding': 'gzip' })).toEqual([
      400,
      'SC_BAD_REQUEST',
      'The body came with content-encoding gzip, which is not read here: send it as it is.'
    ])
    expect((await post('{"input":{}}', { 'content-encoding': 'identity' }))[0]).toBe(202)
  })

  it('comes to the task as it was sent: numbers, and the order of names', async () => {
    const input = '{"zebra":1,"b":{"z":9007199254740991,"a":1e300},"a":-0.1,"Z":[]}'
    const [status] = await post(`{"input":${input}}`)
    expect(status).toBe(202)
    const { params } = await one.deps.db
      .selectFrom('units')
      .select('params')
      .where('task', '=', 'keep')
      .orderBy('queued_at', 'desc')
      .limit(1)
      .executeTakeFirstOrThrow()
    expect(JSON.stringify(params)).toBe(input.replace('1e300', '1e+300'))
  })
})

describe('the same idempotency key', () => {
  const send = async (body: object) => (await post(JSON.stringify({ idempotencyKey: 'k', ...body })))[1] ?? 'the same'

  it('is for the same request, in whatever order its fields come, and with defaults spelled out', async () => {
    expect(await send({ input: { a: { x: 1, y: [1, 2] }, in: {} } })).toBe('the same')
    expect(await send({ input: { in: {}, a: { y: [1, 2], x: 1 } } })).toBe('the same')
    expect(await send({ input: { n: 5, in: { x: [1] }, a: { x: 1, y: [1, 2] } } })).toBe('the same')
    const spelled = { attempts: 3, priority: 0, timeoutSeconds: 3600, delaySeconds: 0 }
    expect(await send({ ...spelled, input: { a: { x: 1, y: [1, 2] }, in: {} } })).toBe('the same')
    for (const input of [
      { a: { x: 1, y: [2, 1] }, in: {} },
      { a: { x: 1, y: [1, 2] }, in: {}, n: 6 }
    ])
      expect(await send({ input })).toBe('SC_IDEMPOTENCY_CONFLICT')
    expect(await send({ priority: 1, input: { a: { x: 1, y: [1, 2] }, in: {} } })).toBe('SC_IDEMPOTENCY_CONFLICT')
  })
})
