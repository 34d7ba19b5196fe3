import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createKey } from '../../src/http/key-rows.ts'
import { forgetOld } from '../../src/jobs/retention.ts'
import { openTickets } from '../../src/transport/tickets.ts'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

/** Inputs that are too large for rows and Redis. */

const MOST_BYTES = 3 * 1024 ** 2
const ANY = { ...WORD_COUNT, name: 'any', inputSchema: { type: 'object', properties: { n: { default: 5 } } } }
const PATH = '/api/tasks/any'
const never = new AbortController().signal

let one: TestApp
let base: URL
const sockets: Socket[] = []
beforeAll(async () => {
  one = await startApp({ maxInputBytes: MOST_BYTES })
  base = new URL(await one.listen())
  await registerTasks(one, 'desk', [WORD_COUNT, ANY] as Array<typeof WORD_COUNT>)
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => one?.release())

async function post(body: string | ReadableStream, headers: Record<string, string> = {}, path = PATH) {
  const answer = await fetch(new URL(path, base), {
    method: 'POST',
    headers: { ...one.bearer('submit'), 'content-type': 'application/json', ...headers },
    body,
    ...(typeof body === 'string' ? {} : { duplex: 'half' })
  })
  const { jobId = '', code, detail } = (await answer.json()) as { jobId?: string; code?: string; detail?: string }
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), jobId, code, detail }
}

const large = (more: object = {}) => JSON.stringify({ input: { text: 'ä'.repeat(1024 ** 2), ...more } })

async function rowsOf(jobId: string) {
  const { db } = one.deps
  return {
    job: await db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirstOrThrow(),
    unit: await db.selectFrom('units').selectAll().where('job_id', '=', jobId).executeTakeFirstOrThrow()
  }
}

const inputOf = async (key: string | null): Promise<string> => await textOf(await one.deps.blobs.get(key ?? ''))

/** Announces a large body and sends the start of it. */
async function sendHalf(scope: 'submit' | 'admin' = 'submit'): Promise<IncomingMessage> {
  const came = once(one.app.server, 'request')
  const socket = connect(Number(base.port), base.hostname)
  sockets.push(socket)
  socket.on('error', () => {})
  const head = [`POST ${PATH} HTTP/1.1`, `Host: ${base.host}`, `Authorization: ${one.bearer(scope).authorization}`]
  const body = ['Content-Type: application/json', `Content-Length: ${MOST_BYTES}`, '', '{"input":']
  socket.write([...head, ...body].join('\r\n'))
  const [request] = (await came) as [IncomingMessage]
  return request
}

/** As much as one key may have under way; answers once it is counted, which is before it is read. */
async function sendTwoHalves(scope?: 'submit' | 'admin'): Promise<void> {
  for (let n = 0; n < 2; n++) {
    const request = await sendHalf(scope)
    await vi.waitFor(() => expect(request.readableFlowing).toBe(true))
  }
}

describe('a large input', () => {
  it('is a blob; its rows have but its place and its sum', async () => {
    const { status, jobId } = await post(large({ '2': 1, '10': 1e20 }))
    expect(status).toBe(202)
    const { job, unit } = await rowsOf(jobId)
    expect([job.input, unit.params, unit.params_bytes]).toEqual([{}, {}, 2])
    expect([unit.input_ref, unit.input_sha256]).toEqual([job.input_ref, expect.stringMatching(/^[0-9a-f]{64}$/)])
    expect(await inputOf(job.input_ref)).toBe(JSON.stringify(JSON.parse(large({ '2': 1, '10': 1e20 })).input))
    const seen = await one.app.inject({ url: `/api/jobs/${jobId}`, headers: one.bearer('read') })
    expect(seen.body.length).toBeLessThan(2_000)
  })

  it('is refused above the limit, with the limit, its size, and what to do', async () => {
    const body = JSON.stringify({ input: { text: 'a'.repeat(MOST_BYTES) } })
    const detail = `The body of the request may have ${MOST_BYTES} bytes here, and has ${body.length}. Write what is larger to a file, and pass where it is.`
    expect(await post(body)).toMatchObject({ status: 413, code: 'SC_FILE_TOO_LARGE', detail })
    const chunked = await post(new Blob([body]).stream())
    expect(chunked).toMatchObject({ status: 413, detail: expect.stringContaining('has more than that') })
  })

  it('is taken as well without a length', async () => {
    expect(await post(new Blob([large()]).stream())).toMatchObject({ status: 202 })
  })

  it.each([
    [
      large({ n: 1 }).replace('"n":1', '"n":9007199254740993'),
      422,
      'SC_TASK_INPUT',
      /^input\.n: 9007199254740993 is no/
    ],
    [large().slice(0, -1), 400, 'SC_BAD_REQUEST', /^The body is not JSON/],
    [large({ a: 1 }).replace('"a"', '"__proto__"'), 400, 'SC_BAD_REQUEST', /__proto__/],
    [`{"input":{},"more":"${'a'.repeat(1024 ** 2)}"}`, 400, 'SC_BAD_REQUEST', /all else in it at most/],
    [`{"input":{"a":[${'{},'.repeat(600_000)}1]}}`, 422, 'SC_TASK_INPUT', /more than 500000 objects and lists/],
    [`[${'1,'.repeat(600_000)}1]`, 400, 'SC_BAD_REQUEST', /must be an object/],
    [large().replace('}}', '},"priority":101}'), 400, 'SC_BAD_REQUEST', /^priority: /],
    [large({ a: '\0' }), 422, 'SC_TASK_INPUT', /NUL/],
    [`{"input":{"a":[${'1e20,'.repeat(300_000)}1]}}`, 422, 'SC_TASK_INPUT', /too many digits/],
    [`{"input":"${'a'.repeat(2e6)}"}`, 422, 'SC_TASK_INPUT', /must be an object/]
  ])('is refused for what is wrong with it, as a small one is (%#)', async (body, status, code, detail) => {
    expect(await post(body)).toMatchObject({ status, code, detail: expect.stringMatching(detail) })
  })

  it('is checked against the schema of its task', async () => {
    const answer = await post(large({ extra: 1 }), {}, '/api/tasks/word-count')
    expect(answer).toMatchObject({ status: 422, detail: 'The input of word-count is not valid. extra: is not known' })
  })

  it('is the same by value for the same Idempotency-Key, and is kept once', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    const text = 'ä'.repeat(1024 ** 2)
    const first = await post(JSON.stringify({ input: { a: { x: 1, y: 2 }, text } }), headers)
    const put = vi.spyOn(one.deps.blobs, 'put')
    const again = await post(JSON.stringify({ priority: 0, input: { text, n: 5, a: { y: 2, x: 1.0 } } }), headers)
    expect(again).toMatchObject({ status: 202, jobId: first.jobId })
    const other = await post(JSON.stringify({ input: { a: { x: 1, y: 3 }, text } }), headers)
    expect(other).toMatchObject({ status: 409, code: 'SC_IDEMPOTENCY_CONFLICT' })
    const keys = put.mock.calls.map(([key]) => key)
    put.mockRestore()
    expect(keys).toHaveLength(2)
    for (const key of keys) await expect(one.deps.blobs.size(key)).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
  })

  it('goes when its job is forgotten', async () => {
    const { jobId } = await post(large())
    const { db, blobs, log } = one.deps
    const { job } = await rowsOf(jobId)
    const ended = { status: 'COMPLETED' as const, finished_at: new Date(0) }
    await db.updateTable('jobs').set(ended).where('id', '=', jobId).execute()
    expect(await blobs.size(job.input_ref as string)).toBeGreaterThan(2 * 1024 ** 2)
    expect(await forgetOld({ db, blobs, log, days: 1, bytes: undefined }, never)).toBe(1)
    await expect(blobs.size(job.input_ref as string)).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
  })

  it('is not for schedules, which are listed with theirs', async () => {
    const body = JSON.stringify({ ...JSON.parse(large()), task: 'any', cron: '0 0 1 1 *' })
    expect(await post(body, {}, '/api/schedules')).toMatchObject({ status: 413 })
  })
})

describe('large inputs that come at once', () => {
  it('are bounded, for each key and for all, and taken again when others are over', async () => {
    await sendTwoHalves()
    expect(await post(large())).toMatchObject({ status: 429, code: 'SC_OVERLOADED', retryAfter: '2' })
    const streamed = await post(new Blob([large()]).stream())
    expect(streamed).toMatchObject({ status: 429, code: 'SC_OVERLOADED' })
    // Of another key, and small ones.
    expect(await post(large(), one.bearer('admin'))).toMatchObject({ status: 202 })
    expect(await post('{"input":{}}')).toMatchObject({ status: 202 })
    await sendTwoHalves('admin')
    const { key } = await createKey(one.deps.db, { name: 'third', scopes: ['submit'] })
    expect(await post(large(), { authorization: `Bearer ${key}` })).toMatchObject({
      status: 429,
      detail: expect.stringContaining('There are ')
    })
    for (const socket of sockets) socket.destroy()
    await vi.waitFor(async () => expect(await post(large())).toMatchObject({ status: 202 }))
  })

  it('are refused, and read no further, where they come in pieces', async () => {
    await sendTwoHalves()
    const socket = connect(Number(base.port), base.hostname)
    sockets.push(socket)
    const { authorization } = one.bearer('submit')
    const head = [`POST ${PATH} HTTP/1.1`, `Host: ${base.host}`, `Authorization: ${authorization}`]
    socket.write([...head, 'Content-Type: application/json', 'Transfer-Encoding: chunked', '', ''].join('\r\n'))
    const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'a'.repeat(bytes)}\r\n`
    socket.write(chunk(1024 ** 2))
    const small = setInterval(() => socket.write(chunk(1)), 1)
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1.1 429 /)
    await once(socket, 'end')
    clearInterval(small)
  })

  it('are not counted for ever where their clients hang up while their key is looked up', async () => {
    const { keys } = one.deps
    const find = keys.find.bind(keys)
    const lookUp = Promise.withResolvers<void>()
    const spy = vi.spyOn(keys, 'find').mockImplementation(async key => {
      await lookUp.promise
      return await find(key)
    })
    const connections = [(await sendHalf()).socket, (await sendHalf()).socket]
    await vi.waitFor(() => expect(spy).toHaveBeenCalledTimes(2))
    const answers = spy.mock.results.map(({ value }) => value as Promise<unknown>)
    spy.mockRestore()
    for (const socket of sockets) socket.destroy()
    await vi.waitFor(() => expect(connections.map(({ closed }) => closed)).toEqual([true, true]))
    lookUp.resolve()
    await Promise.all(answers)
    await setImmediate()
    expect(await post(large())).toMatchObject({ status: 202 })
  })
})

describe('the blob of a large input', () => {
  /** A worker with a key of its own. */
  async function worker(): Promise<{ id: string; key: string }> {
    const id = `w-${randomUUID()}`
    const { db } = one.deps
    await db.insertInto('workers').values({ id, name: id, hostname: 'desk' }).execute()
    const { keyId, key } = await createKey(db, { name: id, scopes: ['worker'] })
    await db.updateTable('api_keys').set({ worker_id: id }).where('id', '=', keyId).execute()
    return { id, key }
  }

  const get = (key: string, path: string) =>
    fetch(new URL(`/blobs/${path}`, base), { headers: { authorization: `Bearer ${key}` } })

  it('is for the worker that was given its unit, and for nobody else', async () => {
    const { jobId } = await post(large())
    const small = await rowsOf((await post('{"input":{}}')).jobId)
    const { unit, job } = await rowsOf(jobId)
    const [mine, others] = [await worker(), await worker()]
    const tickets = await openTickets(one.deps.db)
    const path = (unitId: string, workerId: string) => `inputs/${unitId}/${tickets.unit(workerId, unitId)}`
    const answer = await get(mine.key, path(unit.id, mine.id))
    expect([answer.status, await answer.text()]).toEqual([200, await inputOf(job.input_ref)])
    for (const [key, wrong] of [
      // With another's ticket, without one, by the key of the blob, of a unit without a large input.
      [others.key, path(unit.id, mine.id)],
      [mine.key, path(unit.id, others.id)],
      [mine.key, `inputs/${unit.id}/`],
      [mine.key, `inputs/${unit.id}`],
      [mine.key, job.input_ref as string],
      [mine.key, path(small.unit.id, mine.id)],
      [mine.key, path('nothing', mine.id)]
    ] as const)
      expect((await get(key, wrong)).status, wrong).toBe(404)
    expect((await get(one.keys.admin, path(unit.id, mine.id))).status).toBe(403)
  })
})
