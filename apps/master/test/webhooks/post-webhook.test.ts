import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { postWebhook } from '../../src/webhooks/post-webhook.ts'
import { here, type Receiver, startReceiver } from './receiver.ts'

let receiver: Receiver
beforeAll(async () => {
  receiver = await startReceiver()
})
beforeEach(() => void receiver.received.splice(0))
afterAll(() => receiver.shut())

const post = (path = '/hook', more = {}) =>
  postWebhook(receiver.url(path), { body: '{"jobId":"ä"}', headers: { 'webhook-id': 'one' } }, { ...here, ...more })

it('a webhook is a POST of JSON', async () => {
  receiver.answer(204)
  expect(await post()).toEqual({ status: 204, error: null })
  expect(receiver.received).toEqual([
    {
      path: '/hook',
      headers: expect.objectContaining({ 'content-type': 'application/json', 'webhook-id': 'one' }),
      body: '{"jobId":"ä"}'
    }
  ])
})

it.each([
  [503, true, /answered 503/],
  [429, true, /answered 429/],
  [404, true, /answered 404/],
  [410, false, /answered 410: it takes no more/]
])('an answer with %d is a failure, of which another attempt can help: %s', async (status, retryable, detail) => {
  receiver.answer(status)
  expect(await post()).toEqual({
    status,
    error: expect.objectContaining({ code: 'SC_WEBHOOK_FAILED', retryable, message: expect.stringMatching(detail) })
  })
})

it.each([
  ['30', 30],
  [new Date(Date.now() + 90_000).toUTCString(), expect.closeTo(90, -1)],
  ['soon', undefined],
  ['-5', undefined]
])('tells how long a receiver asks to wait: %s', async (value, retryAfterSeconds) => {
  receiver.answer(429, { 'retry-after': value })
  expect((await post()).retryAfterSeconds).toEqual(retryAfterSeconds)
})

it('is accepted by the head of the answer, whether or not its body ends', async () => {
  for (const ends of ['never', 'broken off']) {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('ok')
      if (ends === 'broken off') setTimeout(() => response.destroy(), 5)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://hook.example:${(server.address() as AddressInfo).port}/`
    expect(await postWebhook(url, { body: '{}', headers: {} }, { ...here, timeoutMs: 1_000 })).toMatchObject({
      status: 200,
      error: null
    })
    server.close()
    server.closeAllConnections()
  }
})

it.each([301, 302, 307, 308])('an answer with %d is a failure: the body goes nowhere else', async status => {
  receiver.answer(status, { location: '/elsewhere' })
  const { error } = await post()
  expect(error).toMatchObject({ code: 'SC_WEBHOOK_FAILED', message: expect.stringMatching(/not followed/) })
  expect(receiver.received.map(({ path }) => path)).toEqual(['/hook'])
})

it('no answer is a failure of the webhook, and not of the cluster', async () => {
  receiver.answer(null)
  expect(await post('/hook', { timeoutMs: 100 })).toEqual({
    status: null,
    error: expect.objectContaining({ code: 'SC_WEBHOOK_FAILED', retryable: true })
  })
})

it('an address inside the house is refused for good', async () => {
  const inside = { lookup: async () => ['192.168.0.1'], allows: undefined }
  expect(await post('/hook', inside)).toEqual({
    status: null,
    error: expect.objectContaining({ code: 'SC_BAD_REQUEST', retryable: false })
  })
})

it('ends with its signal', async () => {
  receiver.answer(null)
  const stop = new AbortController()
  const posting = post('/hook', { signal: stop.signal })
  stop.abort()
  await expect(posting).rejects.toMatchObject({ code: 'SC_CANCELLED' })
})
