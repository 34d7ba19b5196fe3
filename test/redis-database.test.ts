import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRedis, type TestRedis } from '../packages/shared/test/start-redis.ts'
import { type Cluster, startCluster } from './cluster.ts'

/** A Redis of one's own, which has other things in it. */

let redis: TestRedis
let cluster: Cluster
const elsewhere = mkdtempSync(join(tmpdir(), 'sc-elsewhere-'))

beforeAll(async () => {
  redis = await startRedis()
  cluster = await startCluster({ workers: 0, env: { REDIS_URL: `${redis.url}/3` } })
})
afterAll(async () => {
  await cluster?.stop()
  await redis?.stop()
  rmSync(elsewhere, { recursive: true, force: true })
})

test('a worker joins by the line of a master whose Redis is one of several databases', async () => {
  const { command } = await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })
  const broker = command.split(' ').at(-1) as string
  expect(new URL(broker).pathname).toBe('/3')
  await cluster.startWorker('far', ['--broker', broker, '--data-dir', elsewhere], { REDIS_URL: '' })
  await cluster.stopWorker('far')
  // With its own login now.
  await cluster.startWorker('far', ['--data-dir', elsewhere], { REDIS_URL: '' })
})

test('a master says that its Redis has no such database', async () => {
  await expect(startCluster({ workers: 0, env: { REDIS_URL: `${redis.url}/99` } })).rejects.toThrow(
    /Redis at 127\.0\.0\.1:\d+ has no database 99/
  )
})
