import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createKey, revokeKey } from '../../src/http/key-rows.ts'
import { createTellWebhook } from '../../src/jobs/tell-webhook.ts'
import { createWebhookTurns } from '../../src/jobs/webhook-turns.ts'
import { createBackgroundQueue } from '../../src/queues/background-queue.ts'
import { type ClusterOfOne, startClusterOfOne } from './cluster-of-one.ts'

let world: ClusterOfOne
beforeAll(async () => {
  world = await startClusterOfOne()
})
afterAll(() => world?.release())

async function endedJob(keyId: string, webhook_url: string): Promise<string> {
  const id = randomUUID()
  const row = { id, task: 'any', key_id: keyId, input: '{}', status: 'CANCELLED' as const, webhook_url }
  await world.db.insertInto('jobs').values(row).execute()
  return id
}

it('one key has one webhook under way, another’s does not wait for it, and a revoked key has none', async () => {
  const [many, few, revoked] = await Promise.all(
    ['many', 'few', 'revoked'].map(name => createKey(world.db, { name, scopes: ['submit'] }))
  )
  if (!many || !few || !revoked) throw new Error('no keys')
  await revokeKey(world.db, revoked.keyId, 'test')
  const never = Promise.withResolvers<void>()
  const called: string[] = []
  const deliver = async (url: string): Promise<void> => {
    called.push(url)
    if (url.startsWith('https://never')) await never.promise
  }
  const queue = createBackgroundQueue({
    redis: world.redis,
    name: `webhooks-${randomUUID()}`,
    concurrency: 8,
    run: createTellWebhook({ db: world.db, deliver }),
    onError: () => {}
  })
  try {
    for (let n = 0; n < 20; n++) await queue.add(await endedJob(many.keyId, `https://never-${n}.example/`))
    await queue.add(await endedJob(revoked.keyId, 'https://revoked.example/'))
    await queue.add(await endedJob(few.keyId, 'https://few.example/'))
    await expect.poll(() => called, { timeout: 5_000 }).toContain('https://few.example/')
    expect(called).toHaveLength(2)
    never.resolve()
    await expect.poll(() => called.length, { timeout: 20_000 }).toBe(21)
    expect(called).not.toContain('https://revoked.example/')
  } finally {
    never.resolve()
    await queue.close()
  }
}, 40_000)

it('one host has one under way, and those that wait come back as late as those before them take', () => {
  let now = 0
  const turns = createWebhookTurns(() => now)
  expect(turns.enter('a', 'one')).toBeNull()
  expect(turns.enter('b', 'one')).toBe(50)
  expect(turns.enter('b', 'two')).toBeNull()
  now = 10_000
  expect([1, 2, 3].map(() => turns.enter('a', 'three'))).toEqual([10_000, 20_000, 30_000])
  turns.leave('a', 'one')
  expect(turns.enter('a', 'one')).toBeNull()
})
