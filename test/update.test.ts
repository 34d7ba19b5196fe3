import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runningUnit, unitsOf } from '../chaos/scenarios.ts'
import { startRedis } from '../packages/shared/test/start-redis.ts'
import { joinSamples } from './audio.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

/** Master and worker are updated, one after the other, to a release with another protocol, while a recording is decoded. */
const NEW = PROTOCOL_VERSION + 1
const ofNewRelease = [`--import=${pathToFileURL(join(import.meta.dirname, 'fixtures/other-protocol.mjs'))}?${NEW}`]
const FIELDS = { model: 'base', language: 'en', chunk_seconds: '30', reuse: 'false' }

let redis: Awaited<ReturnType<typeof startRedis>>
let cluster: Cluster
beforeAll(async () => {
  redis = await startRedis()
  cluster = await startCluster({ workers: 1, env: { REDIS_URL: redis.url } })
})
afterAll(async () => {
  await cluster?.stop()
  await redis?.stop()
})

const logOf = (name: string) => readFile(join(cluster.folder, 'data', 'logs', `${name}.log`), 'utf8')

it('loses nothing and does nothing twice', async () => {
  const { path } = await joinSamples(120, cluster.folder)
  const { document: undisturbed, job: first } = await cluster.transcribe(path, FIELDS)
  const chunks = first.chunks.total

  const jobId = await cluster.submit(path, FIELDS)
  const old = cluster.workers.get('worker-1')
  if (!old) throw new Error('there is no worker')
  const oldEnds = once(old, 'exit')
  await until('it is planned', 60_000, async () => (await unitsOf(cluster, jobId)).length === chunks)
  await runningUnit(cluster, jobId)
  const masterEnds = once(cluster.master, 'exit')
  cluster.master.kill('SIGTERM')
  await masterEnds
  await cluster.startMaster(ofNewRelease)
  expect(await oldEnds).toEqual([1, null])
  cluster.workers.delete('worker-1')
  const log = await logOf('worker-1')
  expect(log).toContain(
    `The master speaks protocol ${NEW} and this worker ${PROTOCOL_VERSION}: update this worker: stop it`
  )
  let before = await unitsOf(cluster, jobId)
  await until('what the worker said last is counted', 30_000, async () => {
    before = await unitsOf(cluster, jobId)
    return before.every(({ status }) => status === 'DONE' || status === 'QUEUED')
  })
  expect(before.some(({ status }) => status === 'DONE')).toBe(true)
  expect(before.some(({ status }) => status === 'QUEUED')).toBe(true)

  await until('the job says for what it waits', 30_000, async () => {
    const { waitingFor } = await cluster.json<{ waitingFor: string | null }>(`/api/jobs/${jobId}`)
    return (
      waitingFor?.endsWith(`protocol ${NEW}: worker-1 (protocol ${PROTOCOL_VERSION}) would serve it, update it`) ??
      false
    )
  })
  await expect(cluster.startWorker('old-again')).rejects.toThrow(/update this worker/)
  cluster.workers.delete('old-again')
  await cluster.startWorker('worker-1', [], {}, ofNewRelease)
  const job = await cluster.finished(jobId)
  expect(job.status).toBe('COMPLETED')
  const units = await unitsOf(cluster, jobId)
  expect(units.map(({ status, crashes }) => [status, crashes])).toEqual(units.map(() => ['DONE', 0]))
  for (const done of before.filter(({ status }) => status === 'DONE'))
    expect(units.find(({ unitId }) => unitId === done.unitId)?.finishedAt).toBe(done.finishedAt)
  expect(units).toHaveLength(chunks)
  const { transcription } = await cluster.json<{ transcription: string }>(`/transcribe/${jobId}/result`)
  expect(transcription).toBe(undisturbed.transcription)
})

it('a worker that is newer than the master says that the master is to be updated', async () => {
  const evenNewer = [ofNewRelease[0]?.replace(/\d+$/, String(NEW + 1)) as string]
  await expect(cluster.startWorker('early', [], {}, evenNewer)).rejects.toThrow(/update the master/)
  cluster.workers.delete('early')
})
