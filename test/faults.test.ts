import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SCENARIOS } from '../chaos/scenarios.ts'
import { joinSamples } from './audio.ts'
import { type Cluster, startCluster } from './cluster.ts'

/** Two workers of one thread each; the recording is three chunks long. Recovery times are measured by `pnpm chaos`. */
describe('a job outlives what happens to the cluster', () => {
  let cluster: Cluster
  let recording: string
  let expected: string

  beforeAll(async () => {
    cluster = await startCluster({ workers: 2 })
    recording = (await joinSamples(70, cluster.folder)).path
    const { document } = await cluster.transcribe(recording, { chunk_seconds: '30', reuse: 'false' })
    expected = document.transcription
    expect(expected.toLowerCase()).toContain('what you can do for your country')
  })
  afterAll(() => cluster?.stop())

  it.each(SCENARIOS)('$name: $mustHold', async ({ chunkSeconds, run }) => {
    const jobId = await cluster.submit(recording, { chunk_seconds: String(chunkSeconds), reuse: 'false' })
    await run(cluster, jobId)
    const job = await cluster.finished(jobId)
    expect(job).toMatchObject({ status: 'COMPLETED', error: null })
    const document = await cluster.json<{ transcription: string }>(`/transcribe/${jobId}/result`)
    expect(document.transcription).toBe(expected)
  })
})
