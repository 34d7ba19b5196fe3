import { MOST_OUTPUT_LISTS, MOST_OUTPUT_SHAPES, MOST_OUTPUT_VALUES } from '@sc/shared/json-excess.ts'
import { LARGEST_ENTRY, LARGEST_MESSAGE, type OutboxMessage, outboxMessageSchema } from '@sc/shared/outbox-message.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { afterAll, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { openOutbox } from '../../src/messaging/outbox.ts'
import { quiet, until } from '../fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
afterAll(async () => {
  await closeRedis(redis)
  await server.stop()
})

const started = (unitId: string): OutboxMessage => ({
  type: 'started',
  unitId,
  attemptId: 'a',
  ticket: 't',
  slot: 's',
  waitedMs: 0
})

async function unitIdsIn(workerId: string): Promise<string[]> {
  const entries = await redis.xrange(`sc:out:${workerId}`, '-', '+')
  return entries.flatMap(([, fields]) =>
    JSON.parse(fields[1] as string).map(({ unitId }: { unitId: string }) => unitId)
  )
}

test('writes in order, and tells when', async () => {
  const outbox = openOutbox(redis, 'w1', quiet)
  const ids = Array.from({ length: 450 }, (_, at) => `u${at}`)
  expect(await Promise.all(ids.map(id => outbox.add(started(id))))).not.toContain(false)
  expect(await unitIdsIn('w1')).toEqual(ids)
  await outbox.close(0)
})

test('what was said while Redis was away arrives after it is back, in order', async () => {
  const outbox = openOutbox(redis, 'w2', quiet)
  await outbox.add(started('u0'))
  await server.kill()
  await until(() => redis.status !== 'ready')
  const written = Promise.all(['u1', 'u2', 'u3'].map(id => outbox.add(started(id))))
  await server.start()
  expect(await written).toEqual([true, true, true])
  expect(await unitIdsIn('w2')).toEqual(['u0', 'u1', 'u2', 'u3'])
  await outbox.close(0)
})

test('while Redis is away progress is dropped beyond the bound, results never', async () => {
  const outbox = openOutbox(redis, 'w3', quiet)
  await server.kill()
  await until(() => redis.status !== 'ready')
  const progress: OutboxMessage = { type: 'progress', unitId: 'p', attemptId: 'a', ticket: 't', fraction: 0 }
  const dropped = Array.from({ length: 3_000 }, () => outbox.add(progress))
  const kept = Array.from({ length: 10 }, (_, at) => outbox.add(started(`u${at}`)))
  await server.start()
  expect(await Promise.all(kept)).not.toContain(false)
  expect((await Promise.all(dropped)).filter(written => !written)).toHaveLength(1_010)
  expect((await unitIdsIn('w3')).filter(id => id !== 'p')).toHaveLength(10)
  await outbox.close(0)
})

test('close gives up when Redis stays away, and says so', async () => {
  const lost = connectRedis('redis://127.0.0.1:1', { name: 'test' })
  const outbox = openOutbox(lost, 'w4', quiet)
  const added = outbox.add(started('u'))
  await outbox.close(50)
  expect(await added).toBe(false)
  await closeRedis(lost)
})

const result = (unitId: string, output: string): OutboxMessage => ({
  type: 'result',
  unitId,
  attemptId: 'a',
  ticket: 't',
  slot: 's',
  output,
  timings: { waited: 0, fetched: 0, ran: 0, reported: 0 }
})

test('a message too long for one entry goes in parts, in its place, and none of them cuts a character', async () => {
  const outbox = openOutbox(redis, 'w5', quiet)
  // Pairs of surrogates all along: one of two cuts would go through one.
  const output = `x${'\u{1d11e}'.repeat(LARGEST_ENTRY)}`
  const all = ['before', 'after'].map(started)
  await Promise.all([all[0], result('long', output), all[1]].map(message => outbox.add(message as OutboxMessage)))
  const entries = await redis.xrange('sc:out:w5', '-', '+')
  const places = entries.map(([, fields]) => fields[3])
  expect(places).toEqual([undefined, '0/3', '1/3', '2/3', undefined])
  const parts = entries.slice(1, -1).map(([, fields]) => fields[1] as string)
  for (const part of parts) {
    expect(part.length).toBeLessThanOrEqual(LARGEST_ENTRY)
    expect(part.isWellFormed()).toBe(true)
  }
  expect(JSON.parse(parts.join(''))).toEqual([result('long', output)])
  await outbox.close(0)
})

test.each([
  ['long', 'x'.repeat(LARGEST_MESSAGE), /16\.0 MB; 16 MB are the most/],
  ['of small parts', Array(MOST_OUTPUT_LISTS + 1).fill([]), /more than 500000 objects and lists/],
  ['of many values', Array(MOST_OUTPUT_VALUES + 1).fill(0), /more than 5000000 values/],
  [
    'of many names',
    Object.fromEntries(Array.from({ length: MOST_OUTPUT_SHAPES + 1_000 }, (_, at) => [`name ${at}`, 0])),
    /more than 100000 different names/
  ],
  ['deep', JSON.parse(`${'['.repeat(1_500)}${']'.repeat(1_500)}`), /more than 1000 levels/]
])('an output that is too %s is an error of its task', async (what, output, detail) => {
  const workerId = `w-${what.replaceAll(' ', '-')}`
  const outbox = openOutbox(redis, workerId, quiet)
  expect(await outbox.add(result('huge', output))).toBe(true)
  const [[, fields] = ['', []]] = await redis.xrange(`sc:out:${workerId}`, '-', '+')
  const [message] = outboxMessageSchema.array().parse(JSON.parse(fields[1] as string))
  expect(message).toMatchObject({
    type: 'error',
    unitId: 'huge',
    attemptId: 'a',
    ticket: 't',
    slot: 's',
    error: { code: 'SC_TASK_FAILED', detail },
    retryable: false
  })
  expect(message).not.toHaveProperty('output')
  await outbox.close(0)
})
