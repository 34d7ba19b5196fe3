import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { secretHash } from '@sc/shared/enrol-request.ts'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { enrol } from '../../apps/worker/src/enrol/enrol.ts'
import { type Cluster, until } from '../cluster.ts'
import type { Thief } from './attacks.ts'

export interface Theft {
  thief: Thief
  /** Of the worker that the thief is. */
  name: string
  /** The master's own login. */
  master: Redis
  /** Logs in once more; rejects when that is refused. */
  login(): Promise<void>
  end(): Promise<void>
}

/** Joins by a real code, and gives the identity away: nothing of a worker runs under it. */
export async function openThief(cluster: Cluster, victimName: string): Promise<Theft> {
  const opened: Redis[] = []
  const open = (url: string): Redis => {
    const redis = connectRedis(url, { name: 'thief', restricted: true })
    opened.push(redis)
    return redis
  }
  const { command } = await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })
  const broker = new URL(command.split(' ').at(-1) as string)
  const name = `thief-${randomUUID().slice(0, 8)}`
  const code = open(broker.href)
  await waitForRedis(code)
  const who = { name, hostname: 'elsewhere', workerId: undefined }
  const signal = new AbortController().signal
  const accepted = await enrol({ redis: code, log: createLog('test', 'silent'), signal }, who, {
    user: broker.username,
    secret: broker.password
  })
  const { workerId: id, secret = '' } = accepted
  if (secretHash(secret) === secretHash('')) throw new Error('no login was made')
  const url = `redis://${id}:${secret}@${broker.host}`
  const redis = open(url)
  await waitForRedis(redis)
  const master = open(readMasterFile(dataDir(join(cluster.folder, 'data')))?.redisUrl ?? '')
  const { items } = await cluster.json<{ items: Array<{ id: string; name: string }> }>('/api/workers')
  const victim = items.find(item => item.name === victimName)?.id ?? ''
  const { jobId } = await cluster.json<{ jobId: string }>('/api/tasks/wait-none', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: { ms: 1_500 } })
  })
  const unitId = await until('the victim has a unit', 20_000, async () => {
    const units = await cluster.json<{ items: Array<{ unitId: string }> }>(`/api/jobs/${jobId}/units`)
    return units.items[0]?.unitId
  })
  const { inputSchema, outputSchema } = await cluster.json<{ inputSchema: object; outputSchema: object }>(
    '/api/tasks/wait-none'
  )
  const shape = { description: '', gpu: false, vramGb: 0, features: [], builtIn: false, inputSchema, outputSchema }
  const task = { name: 'wait-none', ...shape }
  return {
    thief: {
      redis,
      id,
      victim,
      unitId,
      task,
      submit: async task => {
        const body = JSON.stringify({ input: { ms: 0 } })
        const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
        return (await cluster.api(`/api/tasks/${task}`, init)).status === 202
      }
    },
    name,
    master,
    login: async () => {
      const again = connectRedis(url, { name: 'thief', restricted: true })
      try {
        await waitForRedis(again, { timeoutMs: 5_000 })
      } finally {
        await closeRedis(again)
      }
    },
    end: async () => {
      await Promise.all(opened.map(closeRedis))
    }
  }
}
