import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DeliveryStatus } from '../../src/database/schema.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { startApp, type TestApp } from './start-app.ts'
import { insertTranscription } from './transcription-rows.ts'

let one: TestApp
let ann: Caller
let ben: Caller
beforeAll(async () => {
  one = await startApp()
  ;[ann, ben] = [await makeCaller(), await makeCaller()]
})
afterAll(() => one.release())

interface Caller {
  keyId: string
  headers: Record<string, string>
}

async function makeCaller(): Promise<Caller> {
  const { key, keyId } = await createKey(one.deps.db, { name: 'caller', scopes: ['submit'] })
  return { keyId, headers: { authorization: `Bearer ${key}` } }
}

const ask = async (
  method: 'GET' | 'POST' | 'DELETE',
  url: string,
  { headers }: Pick<Caller, 'headers'>,
  payload?: object
) => await one.app.inject({ method, url, headers, ...(payload && { payload }) })
const reader = () => ({ headers: one.bearer('read') })

describe('secrets of webhooks', () => {
  const list = async (caller: Caller) => (await ask('GET', '/api/webhooks', caller)).json()

  it('are shown once, take over from each other, and end', async () => {
    const carl = await makeCaller()
    expect(await list(carl)).toEqual({ items: [], nextCursor: null })
    const first = await ask('POST', '/api/webhooks', carl)
    expect([first.statusCode, first.headers['cache-control']]).toEqual([201, 'no-store'])
    expect(first.json()).toEqual({
      id: expect.any(String),
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
      createdAt: expect.any(String),
      endsAt: null
    })
    const next = await ask('POST', '/api/webhooks', carl, { overlapSeconds: 600 })
    const { items } = await list(carl)
    expect(items).toEqual([
      { id: next.json().id, createdAt: expect.any(String), endsAt: null },
      { id: first.json().id, createdAt: expect.any(String), endsAt: expect.any(String) }
    ])
    const third = await ask('POST', '/api/webhooks', carl, { overlapSeconds: 0 })
    expect((await list(carl)).items).toMatchObject([{ id: third.json().id }])
    const ended = await ask('DELETE', `/api/webhooks/${third.json().id}`, carl)
    expect([ended.statusCode, ended.json()]).toEqual([
      200,
      { ...items[0], id: third.json().id, createdAt: third.json().createdAt, endsAt: expect.any(String) }
    ])
    expect((await list(carl)).items).toEqual([])
  })

  it('of another key are neither seen nor ended', async () => {
    const { id } = (await ask('POST', '/api/webhooks', ann)).json()
    expect((await list(ben)).items).toEqual([])
    const refused = await ask('DELETE', `/api/webhooks/${id}`, ben)
    expect([refused.statusCode, refused.json().code]).toEqual([404, 'SC_NOT_FOUND'])
    expect((await list(ann)).items).toHaveLength(1)
  })

  it.each([{ overlapSeconds: -1 }, { overlapSeconds: 1e7 }, { overlap: 1 }])('are not made with %j', async payload => {
    const refused = await ask('POST', '/api/webhooks', ann, payload)
    expect([refused.statusCode, refused.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
  })

  it('are not for a key that submits nothing', async () => {
    expect((await ask('POST', '/api/webhooks', reader())).statusCode).toBe(403)
  })

  it('stand in no line of the log', async () => {
    const { secret } = (await ask('POST', '/api/webhooks', ann)).json()
    expect(one.lines.join('')).not.toContain(secret)
  })
})

describe('deliveries of webhooks', () => {
  async function deliver(
    { keyId }: Caller,
    status: DeliveryStatus,
    minutesAgo: number
  ): Promise<{ id: string; jobId: string }> {
    const webhook_url = 'https://hook.example/done?password=secret#here'
    const jobId = await insertTranscription(one.deps.db, { key_id: keyId, webhook_url })
    const id = randomUUID()
    const created_at = new Date(Date.now() - minutesAgo * 60_000)
    await one.deps.db
      .insertInto('webhook_deliveries')
      .values({
        id,
        job_id: jobId,
        generation: 0,
        key_id: keyId,
        host: 'hook.example',
        job_status: 'FAILED',
        status,
        created_at
      })
      .execute()
    return { id, jobId }
  }
  const list = async (query: string, caller: Pick<Caller, 'headers'>) =>
    (await ask('GET', `/api/webhooks/deliveries${query}`, caller)).json()
  const idsIn = async (query: string, caller: Pick<Caller, 'headers'>): Promise<string[]> =>
    (await list(query, caller)).items.map(({ id }: { id: string }) => id)

  it('are listed newest first, page by page, each with what became of it', async () => {
    const carl = await makeCaller()
    const made: Array<{ id: string; jobId: string }> = []
    for (let n = 0; n < 5; n++) made.push(await deliver(carl, n === 2 ? 'FAILED' : 'PENDING', n))
    const ids = made.map(({ id }) => id)
    const pages: string[] = []
    let cursor: string | null = null
    do {
      const page = await list(`?limit=2${cursor ? `&cursor=${cursor}` : ''}`, carl)
      pages.push(...page.items.map(({ id }: { id: string }) => id))
      cursor = page.nextCursor
    } while (cursor)
    expect(pages).toEqual(ids)
    expect(await idsIn('?status=FAILED', carl)).toEqual([ids[2]])
    expect(await idsIn(`?jobId=${made[3]?.jobId}`, carl)).toEqual([ids[3]])
    expect((await list('?status=FAILED', carl)).items).toEqual([
      {
        id: ids[2],
        jobId: made[2]?.jobId,
        url: 'https://hook.example/done',
        status: 'FAILED',
        attempts: 0,
        responseStatus: null,
        error: null,
        createdAt: expect.any(String),
        lastAttemptAt: null,
        nextAttemptAt: null,
        deliveredAt: null
      }
    ])
    expect((await ask('GET', '/api/webhooks/deliveries?cursor=x', carl)).statusCode).toBe(400)
    expect((await ask('GET', '/api/webhooks/deliveries?status=GONE', carl)).statusCode).toBe(400)
  })

  it('are seen by the key whose jobs they are of, and by one that may read', async () => {
    const { id } = await deliver(ann, 'PENDING', 0)
    expect(await idsIn('', ann)).toContain(id)
    expect(await idsIn('', reader())).toContain(id)
    expect(await idsIn('', ben)).not.toContain(id)
  })

  it('are sent again when they are asked for, by their own key alone', async () => {
    const { id } = await deliver(ann, 'FAILED', 0)
    const resend = async (caller: Pick<Caller, 'headers'>) =>
      await ask('POST', `/api/webhooks/deliveries/${id}/resend`, caller)
    expect([(await resend(ben)).statusCode, (await resend(reader())).statusCode]).toEqual([404, 403])
    const sent = await resend(ann)
    expect([sent.statusCode, sent.json()]).toEqual([
      202,
      expect.objectContaining({ id, status: 'PENDING', attempts: 0, nextAttemptAt: expect.any(String) })
    ])
    const none = await ask('POST', '/api/webhooks/deliveries/none/resend', { headers: one.bearer('admin') })
    expect([none.statusCode, none.json().code]).toEqual([404, 'SC_NOT_FOUND'])
  })
})

it('what a receiver gets is described in /openapi.json', async () => {
  const { webhooks, components } = (await ask('GET', '/openapi.json', reader())).json()
  const { schema } = webhooks.jobEnded.post.requestBody.content['application/json']
  expect(schema.required).toEqual(['jobId', 'status', 'resultUrl', 'error', 'finishedAt'])
  expect(schema.properties.status.enum).toEqual(['COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED'])
  expect(components.schemas).toHaveProperty(schema.properties.error.anyOf[0].$ref.split('/').at(-1))
})
