import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { afterAll, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { openOutbox } from '../../src/report/outbox.ts'
import { quiet, until } from '../fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
afterAll(async () => {
  await closeRedis(redis)
  await server.stop()
})

const started = (unitId: string): OutboxMessage => ({ type: 'started', unitId, attemptId: 'a', slot: 's', waitedMs: 0 })

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
  const progress: OutboxMessage = { type: 'progress', unitId: 'p', attemptId: 'a', fraction: 0 }
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
