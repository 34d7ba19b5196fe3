import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DeliveryRow, JobRow } from '../../src/database/schema.ts'
import { createKey, revokeKey } from '../../src/http/key-rows.ts'
import { createAfterEnd } from '../../src/jobs/after-end.ts'
import { beginAgain } from '../../src/jobs/begin-again.ts'
import { forgetOld } from '../../src/jobs/retention.ts'
import { createMetrics } from '../../src/metrics.ts'
import { MOST_ATTEMPTS } from '../../src/webhooks/back-off.ts'
import { resendDelivery } from '../../src/webhooks/deliveries.ts'
import { makeSecret } from '../../src/webhooks/secrets.ts'
import { useEngine } from '../jobs/use-engine.ts'
import { here, type Received, type Receiver, startReceiver, verify } from './receiver.ts'

const WAIT = { timeout: 10_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const HOUR = 3_600_000

const at = useEngine(async () => ({ outbound: here }))
let receiver: Receiver
let other: Receiver
let keyId: string
beforeAll(async () => {
  receiver = await startReceiver()
  other = await startReceiver()
})
beforeEach(async () => {
  keyId = await newKey()
  // What the engine of the test before sent while it stopped.
  for (const one of [receiver, other]) one.received.splice(0)
})
afterEach(async () => {
  for (const one of [receiver, other]) {
    await one.shut()
    await one.open()
    one.answer(200)
  }
})
afterAll(() => Promise.all([receiver.shut(), other.shut()]))

const newKey = async (): Promise<string> =>
  (await createKey(at.world.db, { name: 'somebody', scopes: ['submit'] })).keyId

/** A job that has ended, and nobody was told. */
async function endedJob(more: Partial<JobRow> = {}): Promise<string> {
  const row = {
    id: randomUUID(),
    task: 'count',
    key_id: keyId,
    input: '{}',
    status: 'CANCELLED' as const,
    webhook_url: receiver.url(),
    finished_at: new Date()
  }
  await at.world.db
    .insertInto('jobs')
    .values({ ...row, ...(more as object) })
    .execute()
  return more.id ?? row.id
}

const onEnded = (jobIds: string[]): Promise<void> =>
  createAfterEnd({
    db: at.world.db,
    blobs: at.world.blobs,
    metrics: createMetrics(),
    webhooks: { wake: () => {} }
  })(jobIds)

const deliveriesOf = (jobId: string): Promise<DeliveryRow[]> =>
  at.world.db.selectFrom('webhook_deliveries').selectAll().where('job_id', '=', jobId).orderBy('generation').execute()

const become = (jobId: string, expected: object) =>
  vi.waitFor(async () => expect((await deliveriesOf(jobId)).at(-1)).toMatchObject(expected), WAIT)

/** As if its pause were over. */
const hurry = (jobId: string, change: Partial<DeliveryRow> = {}) =>
  at.world.db
    .updateTable('webhook_deliveries')
    .set({ next_at: new Date(0), ...(change as object) })
    .where('job_id', '=', jobId)
    .execute()

const idsOf = (received: Received[]): string[] => received.map(({ headers }) => headers['webhook-id'] as string)

describe('the end of a job', () => {
  it('is posted to its address, signed, with the address of the result', async () => {
    const { secret } = await makeSecret(at.world.db, keyId, 0)
    const jobId = await at.world.insertJob({ units: 1 }, { keyId })
    await at.world.db
      .updateTable('jobs')
      .set({ webhook_url: receiver.url('/done?of=me') })
      .where('id', '=', jobId)
      .execute()
    const { units } = await at.world.takeOne()
    const about = { unitId: units[0].unitId, attemptId: randomUUID(), slot: 'cpu-0' }
    await at.world.say('w-1', { type: 'result', ...about, output: 0, timings: TIMINGS })
    await become(jobId, { status: 'DELIVERED', attempts: 1, response_status: 200, error: null })
    const [got, ...more] = receiver.received
    if (!got) throw new Error('nothing came')
    expect([got.path, more]).toEqual(['/done?of=me', []])
    expect(verify(secret, got)).toEqual({
      jobId,
      status: 'COMPLETED',
      resultUrl: `http://m/api/jobs/${jobId}/result`,
      error: null,
      finishedAt: (await at.world.job(jobId)).finished_at?.toISOString()
    })
    expect(idsOf([got])).toEqual((await deliveriesOf(jobId)).map(({ id }) => id))
    expect(() => verify(secret, { ...got, body: got.body.replace('COMPLETED', 'FAILED') })).toThrow()
  })

  it('names the result of a transcription, and the error of a job that failed', async () => {
    const error = { code: 'SC_TASK_FAILED', title: 'The task failed', detail: 'it fell over' } as const
    const good = await endedJob({ task: 'transcribe', status: 'PARTIAL' })
    const bad = await endedJob({ status: 'FAILED', error: JSON.stringify(error) as never })
    await onEnded([good, bad])
    await become(good, { status: 'DELIVERED' })
    await become(bad, { status: 'DELIVERED' })
    const bodies = new Map(receiver.received.map(({ body }) => [JSON.parse(body).jobId, JSON.parse(body)]))
    expect(bodies.get(good)).toMatchObject({ status: 'PARTIAL', resultUrl: `http://m/transcribe/${good}/result` })
    expect(bodies.get(bad)).toMatchObject({ status: 'FAILED', resultUrl: null, error })
  })

  it('is told when its delivery is written, and not before', async () => {
    const { db } = at.world
    const jobId = await endedJob()
    await db.schema.alterTable('webhook_deliveries').renameTo('away').execute()
    await expect(onEnded([jobId])).rejects.toThrow(/webhook_deliveries/)
    await db.schema.alterTable('away').renameTo('webhook_deliveries').execute()
    expect((await at.world.job(jobId)).told).toBe(false)
    await onEnded([jobId])
    await onEnded([jobId])
    expect((await at.world.job(jobId)).told).toBe(true)
    await become(jobId, { status: 'DELIVERED' })
    expect(receiver.received).toHaveLength(1)
  })

  it('is told each time of a job that is begun again', async () => {
    const jobId = await endedJob({ status: 'FAILED' })
    await onEnded([jobId])
    await become(jobId, { status: 'DELIVERED' })
    const { db } = at.world
    await db.transaction().execute(async trx => await beginAgain(trx, jobId, sql`null`))
    await db.updateTable('jobs').set({ status: 'CANCELLED', finished_at: new Date() }).where('id', '=', jobId).execute()
    await onEnded([jobId])
    await become(jobId, { status: 'DELIVERED', job_status: 'CANCELLED' })
    expect(receiver.received.map(({ body }) => JSON.parse(body).status)).toEqual(['FAILED', 'CANCELLED'])
    expect(new Set(idsOf(receiver.received)).size).toBe(2)
  })

  it('without an address is told nobody', async () => {
    const jobId = await endedJob({ webhook_url: null })
    await onEnded([jobId])
    expect(await deliveriesOf(jobId)).toEqual([])
  })
})

describe('signatures', () => {
  const sent = async (): Promise<Received> => {
    const jobId = await endedJob()
    await onEnded([jobId])
    await become(jobId, { status: 'DELIVERED' })
    return receiver.received.at(-1) as Received
  }

  it('are by the old and the new secret during a rotation, and by the new one alone after it', async () => {
    const { db } = at.world
    const old = await makeSecret(db, keyId, 0)
    const first = await sent()
    expect(() => verify(old.secret, first)).not.toThrow()
    const next = await makeSecret(db, keyId, 3_600)
    const both = await sent()
    for (const { secret } of [old, next]) expect(() => verify(secret, both)).not.toThrow()
    await db
      .updateTable('webhook_secrets')
      .set({ ends_at: new Date(0) })
      .where('id', '=', old.id)
      .execute()
    const last = await sent()
    expect(() => verify(next.secret, last)).not.toThrow()
    expect(() => verify(old.secret, last)).toThrow()
  })

  it('are of the key whose job it is, and there are none where it has no secret', async () => {
    await makeSecret(at.world.db, await newKey(), 0)
    const got = await sent()
    expect(Object.keys(got.headers)).toEqual(expect.arrayContaining(['webhook-id', 'webhook-timestamp']))
    expect(Object.keys(got.headers)).not.toContain('webhook-signature')
  })

  it('leave no secret in a delivery', async () => {
    const { secret } = await makeSecret(at.world.db, keyId, 0)
    await sent()
    const rows = await at.world.db.selectFrom('webhook_deliveries').selectAll().execute()
    expect(JSON.stringify(rows)).not.toContain(secret.slice('whsec_'.length))
  })
})

describe('a receiver', () => {
  it('that is away gets it once it is back, under the same id', async () => {
    await receiver.shut()
    const jobId = await endedJob()
    await onEnded([jobId])
    await become(jobId, { status: 'PENDING', attempts: 1, response_status: null, error: { code: 'SC_WEBHOOK_FAILED' } })
    const [waiting] = await deliveriesOf(jobId)
    expect(Number(waiting?.next_at)).toBeGreaterThan(Number(waiting?.last_attempt_at))
    await receiver.open()
    receiver.answer(503)
    await hurry(jobId)
    await become(jobId, { status: 'PENDING', attempts: 2, response_status: 503 })
    receiver.answer(200)
    await hurry(jobId)
    await become(jobId, { status: 'DELIVERED', attempts: 3, response_status: 200, error: null })
    expect(idsOf(receiver.received)).toEqual([waiting?.id, waiting?.id])
  })

  it('that is away for a day gets it when it is sent again by hand', async () => {
    await receiver.shut()
    const jobId = await endedJob()
    await onEnded([jobId])
    await become(jobId, { attempts: 1 })
    await hurry(jobId, { attempts: MOST_ATTEMPTS - 1 })
    await become(jobId, { status: 'FAILED', attempts: MOST_ATTEMPTS })
    await receiver.open()
    const [{ id } = { id: '' }] = await deliveriesOf(jobId)
    expect(await resendDelivery(at.world.db, id)).toMatchObject({ id, status: 'PENDING' })
    await become(jobId, { status: 'DELIVERED', attempts: 1 })
    expect(await resendDelivery(at.world.db, id)).toMatchObject({ status: 'PENDING', deliveredAt: null })
    await become(jobId, { status: 'DELIVERED' })
    expect(idsOf(receiver.received)).toEqual([id, id])
  })

  it('that wants no more is not asked again', async () => {
    receiver.answer(410)
    const jobId = await endedJob()
    await onEnded([jobId])
    await become(jobId, { status: 'FAILED', attempts: 1, response_status: 410 })
  })

  it('that never answers holds up no other key, and of its own key only those behind it', async () => {
    receiver.answer(null)
    const few = await newKey()
    const revoked = await newKey()
    await revokeKey(at.world.db, revoked, 'test')
    const many: string[] = []
    for (let n = 0; n < 20; n++) many.push(await endedJob({ webhook_url: other.url(`/${n}`) }))
    const never = await endedJob({ finished_at: new Date(Date.now() - HOUR) })
    await onEnded([never])
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    await onEnded(many)
    const quick = await endedJob({ key_id: few, webhook_url: other.url('/few') })
    const unsent = await endedJob({ key_id: revoked, webhook_url: other.url('/revoked') })
    await onEnded([quick, unsent])
    await become(quick, { status: 'DELIVERED' })
    await become(unsent, { status: 'FAILED', attempts: 0, error: { detail: expect.stringMatching(/revoked/) } })
    expect(other.received.map(({ path }) => path)).toEqual(['/few'])
    await receiver.shut()
    for (const jobId of many) await become(jobId, { status: 'DELIVERED' })
  }, 20_000)

  it('gets one at a time, whoever sends it', async () => {
    receiver.answer(null)
    const first = await endedJob()
    await onEnded([first])
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    const second = await newKey()
    const behind = await endedJob({ key_id: second })
    const beside = await endedJob({ key_id: second, webhook_url: other.url() })
    await onEnded([behind, beside])
    await become(beside, { status: 'DELIVERED' })
    expect(receiver.received).toHaveLength(1)
  })
})

describe('a master', () => {
  it('that stops gives back what is under way, and the next one sends it', async () => {
    receiver.answer(null)
    const jobId = await endedJob()
    await onEnded([jobId])
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    await at.engine.stop()
    expect(await deliveriesOf(jobId)).toMatchObject([{ status: 'PENDING', attempts: 0 }])
    receiver.answer(200)
    await at.start()
    await become(jobId, { status: 'DELIVERED', attempts: 1 })
    expect(new Set(idsOf(receiver.received)).size).toBe(1)
  })

  it('that was killed has left a lease that runs out', async () => {
    await at.engine.stop()
    const jobId = await endedJob()
    await onEnded([jobId])
    await hurry(jobId, { next_at: new Date(Date.now() + HOUR) })
    await at.start()
    await hurry(jobId)
    await become(jobId, { status: 'DELIVERED' })
  })

  it('sends each once, also with another beside it', async () => {
    const second = await at.world.startMaster('two')
    try {
      const jobs: string[] = []
      for (let n = 0; n < 30; n++) jobs.push(await endedJob())
      await onEnded(jobs)
      for (const jobId of jobs) await become(jobId, { status: 'DELIVERED', attempts: 1 })
      expect(receiver.received).toHaveLength(30)
      expect(new Set(idsOf(receiver.received)).size).toBe(30)
    } finally {
      await second.stop()
    }
  })

  it('forgets the deliveries of a job with the job', async () => {
    const jobId = await endedJob({ finished_at: new Date(Date.now() - 48 * HOUR) })
    await onEnded([jobId])
    await become(jobId, { status: 'DELIVERED' })
    const { db, blobs, log } = at.world
    await forgetOld({ db, blobs, log, days: 1, bytes: undefined }, new AbortController().signal)
    expect(await deliveriesOf(jobId)).toEqual([])
  })
})
