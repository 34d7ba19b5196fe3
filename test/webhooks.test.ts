import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { REPO_DIR } from '@sc/shared/config.ts'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Receiver, startReceiver, verify } from '../apps/master/test/webhooks/receiver.ts'
import { type Cluster, startCluster } from './cluster.ts'

const WAIT = { timeout: 60_000, interval: 50 }
const preload = pathToFileURL(join(REPO_DIR, 'test/fixtures/hook-example.mjs')).href

/** From a job's end to its receiver, through what may be away meanwhile. No worker: a job ends by being cancelled. */
describe('the webhook of a job', () => {
  let cluster: Cluster
  let receiver: Receiver
  let secret: string
  beforeAll(async () => {
    receiver = await startReceiver()
    cluster = await startCluster({ workers: 0, env: { NODE_OPTIONS: `--import=${preload}` } })
    ;({ secret } = await cluster.json<{ secret: string }>('/api/webhooks', { method: 'POST' }))
  })
  afterEach(async () => {
    receiver.answer(200)
    receiver.received.splice(0)
    await receiver.shut()
    await receiver.open()
  })
  afterAll(async () => {
    await cluster?.stop()
    await receiver?.shut()
  })

  async function endedJob(): Promise<string> {
    const jobId = await cluster.submit(join(REPO_DIR, 'samples/jfk.wav'), { webhook_url: receiver.url() })
    await cluster.json(`/transcribe/${jobId}`, { method: 'DELETE' })
    return jobId
  }

  interface Delivery {
    id: string
    status: string
    attempts: number
  }
  const deliveryOf = async (jobId: string): Promise<Delivery | undefined> =>
    (await cluster.json<{ items: Delivery[] }>(`/api/webhooks/deliveries?jobId=${jobId}`)).items[0]

  const become = (jobId: string, expected: Partial<Delivery>): Promise<Delivery> =>
    vi.waitFor(async () => {
      const delivery = await deliveryOf(jobId)
      expect(delivery).toMatchObject(expected)
      return delivery as Delivery
    }, WAIT)

  /** What came is of this job, and signed. */
  async function arrived(jobId: string): Promise<void> {
    const { id } = await become(jobId, { status: 'DELIVERED' })
    const got = receiver.received.findLast(({ headers }) => headers['webhook-id'] === id)
    if (!got) throw new Error(`the delivery ${id} did not come`)
    expect(verify(secret, got)).toMatchObject({ jobId, status: 'CANCELLED' })
  }

  async function restartMaster(): Promise<void> {
    const { master } = cluster
    const exited = once(master, 'exit')
    master.kill('SIGKILL')
    await exited
    await cluster.startMaster()
  }

  it('arrives, signed', async () => {
    await arrived(await endedJob())
  })

  it('arrives after an outage of its receiver', async () => {
    await receiver.shut()
    const jobId = await endedJob()
    await become(jobId, { status: 'PENDING', attempts: 1 })
    await receiver.open()
    await arrived(jobId)
  })

  it('arrives during an outage of Redis', async () => {
    await receiver.shut()
    const jobId = await endedJob()
    await become(jobId, { status: 'PENDING', attempts: 1 })
    const owner = JSON.parse(readFileSync(join(cluster.folder, 'data/redis/owner.json'), 'utf8'))
    process.kill(owner.server.pid, 'SIGSTOP')
    try {
      await receiver.open()
      await arrived(jobId)
    } finally {
      process.kill(owner.server.pid, 'SIGCONT')
    }
  })

  it('arrives after its master was killed before it was sent', async () => {
    await receiver.shut()
    const jobId = await endedJob()
    await become(jobId, { status: 'PENDING', attempts: 1 })
    await receiver.open()
    await restartMaster()
    await arrived(jobId)
  })

  it('arrives after its master was killed while it was sent, under the same id', async () => {
    receiver.answer(null)
    const jobId = await endedJob()
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    receiver.answer(200)
    await restartMaster()
    await arrived(jobId)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  })
})
