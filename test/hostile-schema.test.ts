import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { closeRedis, connectRedis, type Redis } from '@sc/shared/redis.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cluster, startCluster, until } from './cluster.ts'

/** A worker whose task has a schema of 3 KB that takes 2^45 checks, under a name that a schedule uses. */

const LEVELS = 45
const ladder = {
  $ref: '#/$defs/d0',
  $defs: Object.fromEntries(
    Array.from({ length: LEVELS }, (_, at) => {
      const next = { $ref: `#/$defs/d${at + 1}` }
      return [`d${at}`, at === LEVELS - 1 ? { type: 'object' } : { allOf: [next, next] }]
    })
  )
}

let cluster: Cluster
let redis: Redis
let workerId: string
beforeAll(async () => {
  cluster = await startCluster({ workers: 1 })
  const { items } = await cluster.json<{ items: Array<{ id: string }> }>('/api/workers')
  workerId = items[0]?.id as string
  connect()
})
afterAll(async () => {
  await closeRedis(redis)
  await cluster.stop()
})

function connect(): void {
  const { redisUrl } = readMasterFile(dataDir(join(cluster.folder, 'data'))) ?? {}
  redis = connectRedis(redisUrl as string, { name: 'test' })
}

/** As the worker itself would, but for its own check. */
async function register(inputSchema: object | string): Promise<void> {
  const about = { description: '', gpu: false, vramGb: 0, features: [], builtIn: false, outputSchema: {} }
  const tasks = [
    { name: 'nightly', ...about, inputSchema: 'HERE' },
    { name: 'other', ...about, inputSchema: {} }
  ]
  const message = JSON.stringify([{ type: 'registered', tasks, classes: ['cpu'] }])
  const schema = typeof inputSchema === 'string' ? inputSchema : JSON.stringify(inputSchema)
  await redis.xadd(outboxKey(workerId), '*', 'm', message.replace('"HERE"', schema))
}

const post = (path: string, body: object) =>
  cluster.api(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })

/** Why the schedule did not run the last time. */
async function nextError(scheduleId: string): Promise<{ code: string; detail: string }> {
  return await until('the schedule says why it did not run', 30_000, async () => {
    const answer = await cluster.api(`/api/schedules/${scheduleId}`)
    const { lastError } = (await answer.json()) as { lastError?: { code: string; detail: string } | null }
    return lastError ?? undefined
  })
}

test('a task whose schema costs too much is left out and named, also where a schedule uses it', async () => {
  await register({ type: 'object' })
  await until('the task is known', 15_000, async () => (await cluster.api('/api/tasks/nightly')).ok)
  const made = await post('/api/schedules', { task: 'nightly', cron: '* * * * * *' })
  expect(made.status).toBe(201)
  const { scheduleId } = (await made.json()) as { scheduleId: string }

  await register(ladder)
  const refused = await nextError(scheduleId)
  expect(refused.code).toBe('SC_TASK_UNFIT')
  expect(refused.detail).toMatch(/nightly.* of the worker worker-1 was left out: .*more than 100000 parts/)
  const answer = await post('/api/tasks/nightly', { input: {} })
  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([422, 'SC_TASK_UNFIT'])
  expect((await post('/api/tasks/other', { input: {} })).status).toBe(202)

  const { items } = await cluster.json<{ items: Array<{ check: string; status: string; found: string }> }>(
    '/api/cluster/doctor'
  )
  expect(items.find(({ check }) => check === 'worker worker-1: task nightly')).toMatchObject({
    status: 'warning',
    found: expect.stringMatching(/left out: .*more than 100000 parts/)
  })
})

test('what is registered after a schema of 150,000 levels, or one that refers to itself, counts', async () => {
  const levels = 150_000
  await register(`${'{"not":'.repeat(levels)}{}${'}'.repeat(levels)}`)
  await register({ $ref: '#' })
  await until('the loop is named', 15_000, async () => {
    const answer = await post('/api/tasks/nightly', { input: {} })
    return ((await answer.json()) as { detail?: string }).detail?.includes('refers to itself')
  })
  await register({ type: 'object' })
  await until('the task is known', 15_000, async () => (await cluster.api('/api/tasks/nightly')).ok)
  await register(ladder)
})

test('a master starts while such a schedule is due', async () => {
  const ended = new Promise(resolve => cluster.master.once('exit', resolve))
  cluster.master.kill('SIGTERM')
  await ended
  await closeRedis(redis)
  await cluster.startMaster()
  connect()
  expect((await cluster.api('/healthz')).status).toBe(200)
  const log = await readFile(join(dataDir(join(cluster.folder, 'data')).logs, 'master.log'), 'utf8')
  expect(log.match(/master is up/g)?.length).toBeGreaterThanOrEqual(2)
})
