/** What workers answer for a transcription, on its whole way: what cannot be of its audio is an error of that attempt. */
import { randomUUID } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import type { UnitDraft } from '../../src/jobs/definition.ts'
import { createTranscription } from '../../src/transcription/job.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }
const SECOND = 16_000
/** A minute without a pause: two windows, both of which have five seconds. */
const WINDOWS = [
  { start: 0, end: 30 * SECOND, speech: [], overlap: 0 },
  { start: 25 * SECOND, end: 55 * SECOND, speech: [], overlap: 5 * SECOND }
]

const draft = (task: string, params: Record<string, unknown>): UnitDraft => ({
  task,
  index: 0,
  queue: 'cpu',
  input: null,
  params,
  blobs: {},
  span: { startSample: 0, endSample: 55 * SECOND },
  seconds: 55,
  deadlineMs: 60_000
})

const at = useEngine(async () => ({
  definitions: blobs => {
    const deps = { blobs, ffmpegPath: '', spoolDir: '', voiceActivity: undefined as never, defaultModel: undefined }
    const transcription = createTranscription({ ...deps, hasGpu: () => false })
    return [
      {
        ...transcription,
        async *plan(_job, context) {
          await context.run(draft('transcribe.detect', {}))
          yield draft('transcribe.chunk', { windows: WINDOWS })
          return { durationSeconds: 55, windows: 2, warnings: [] }
        }
      }
    ]
  }
}))

async function submit(): Promise<string> {
  const id = await at.world.insertJob({ model: 'base', chunk_seconds: 150, word_timestamps: true, reuse: false })
  await at.world.db.updateTable('jobs').set({ task: 'transcribe' }).where('id', '=', id).execute()
  return id
}

async function answer({ units: [{ unitId }] }: Taken, output: unknown): Promise<void> {
  const about = { unitId, attemptId: randomUUID(), slot: 's' }
  await at.world.say('w-1', { type: 'result', ...about, output, timings: TIMINGS })
}

function outputOf(words: number) {
  const said = { word: ' so', start: 26, end: 27, probability: 1 }
  const numbers = { avg_logprob: 0, no_speech_prob: 0, compression_ratio: 1, temperature: 0 }
  const segment = { start: 26, end: 27, text: ' so', words: Array.from({ length: words }, () => said), ...numbers }
  const one = { language: 'en', language_probability: 1, quality: [] }
  const windows = [
    { ...one, segments: [segment] },
    { ...one, segments: [{ ...segment, words: segment.words.map(word => ({ ...word, start: 1, end: 2 })) }] }
  ]
  return { model: 'base', device: 'cpu', compute_type: 'int8', windows }
}

const detected = { language: 'en', probability: 1 }
const firstUnit = async (id: string, task: string) => (await at.world.units(id)).find(unit => unit.task === task)

it('a result that is too much for its audio is tried again, and another worker makes up for it', async () => {
  const id = await submit()
  await answer(await at.world.takeOne(), { language: 'x'.repeat(100_000), probability: 1 })
  await vi.waitFor(
    async () =>
      expect(await firstUnit(id, 'transcribe.detect')).toMatchObject({
        status: 'QUEUED',
        attempts: 1,
        output: null,
        error: { code: 'SC_TASK_FAILED', detail: expect.stringContaining('1000 are the most') }
      }),
    WAIT
  )
  await answer(await at.world.takeOne(), detected)
  await answer(await at.world.takeOne(), outputOf(8_000))
  await vi.waitFor(
    async () =>
      expect(await firstUnit(id, 'transcribe.chunk')).toMatchObject({
        status: 'QUEUED',
        attempts: 1,
        output: null,
        timings: null,
        error: { detail: expect.stringContaining('for 60 s of audio in 2 windows') }
      }),
    WAIT
  )
  await answer(await at.world.takeOne(), outputOf(1))
  await vi.waitFor(async () => expect((await at.world.job(id)).status).toBe('COMPLETED'), WAIT)
  expect(await at.world.job(id)).toMatchObject({ language: 'en', gaps: [], error: null })
}, 30_000)

it('where every attempt brings such a result, the job fails and says what was wrong', async () => {
  const id = await submit()
  await answer(await at.world.takeOne(), detected)
  const taken = await at.world.takeOne()
  await at.world.db.updateTable('units').set({ max_attempts: 1 }).where('job_id', '=', id).execute()
  await answer(taken, outputOf(8_000))
  await vi.waitFor(async () => expect((await at.world.job(id)).status).toBe('FAILED'), WAIT)
  expect((await at.world.job(id)).error).toMatchObject({
    code: 'SC_TASK_FAILED',
    detail: expect.stringContaining('for 60 s of audio in 2 windows')
  })
})

it('a result that a master of before accepted is a gap of its job, which the merge outlives', async () => {
  const id = await submit()
  await answer(await at.world.takeOne(), detected)
  const [{ unitId }] = (await at.world.takeOne()).units
  await vi.waitFor(async () => expect((await at.world.job(id)).planned).toBe(true), WAIT)
  await at.world.db
    .updateTable('units')
    .set({ status: 'DONE', output: JSON.stringify(outputOf(8_000)) })
    .where('id', '=', unitId)
    .execute()
  await at.engine.stop()
  await at.start()
  await vi.waitFor(async () => expect((await at.world.job(id)).status).toBe('FAILED'), WAIT)
  expect((await at.world.job(id)).gaps).toMatchObject([{ start: 0, end: 55, error: { code: 'SC_TASK_FAILED' } }])
})
