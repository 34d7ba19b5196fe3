import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { joinSamples, wordsOf } from './audio.ts'
import { type Cluster, startCluster, type Transcript } from './cluster.ts'

/** `pnpm verify` does the same with the longest recordings, 1 to 3 workers and four chunk lengths. */
describe('the transcript is the same however the work is spread', () => {
  let cluster: Cluster
  let recording: { path: string; text: string }
  const seen: Transcript[] = []

  beforeAll(async () => {
    cluster = await startCluster({ workers: 1 })
    recording = await joinSamples(90, cluster.folder)
  })
  afterAll(() => cluster?.stop())

  const wordTimes = ({ segments }: Transcript) =>
    segments.flatMap(segment => segment.words.map(({ word, start, end }) => [word, start, end]))

  it.each([
    [1, '30'],
    [1, '150'],
    [2, '60'],
    [2, '600']
  ])('%i workers, chunks of %s s', async (workers, chunkSeconds) => {
    if (cluster.workers.size < workers) await cluster.startWorker('worker-2')
    const { document } = await cluster.transcribe(recording.path, { chunk_seconds: chunkSeconds, reuse: 'false' })
    expect(document.chunking.chunk_seconds).toBe(Number(chunkSeconds))
    seen.push(document)
    expect(document.transcription).toBe(seen[0]?.transcription)
    expect(wordTimes(document)).toEqual(wordTimes(seen[0] as Transcript))
  })

  it('really cut it into several chunks', () => {
    const counts = seen.map(({ chunking }) => chunking.chunks)
    expect(Math.min(...counts)).toBeGreaterThan(2)
    expect(new Set(counts).size).toBeGreaterThan(1)
  })

  it('says what was said', () => {
    const spoken = wordsOf(recording.text).length
    const written = wordsOf(seen[0]?.transcription ?? '').length
    expect(Math.abs(written - spoken)).toBeLessThan(spoken * 0.05)
  })
})
