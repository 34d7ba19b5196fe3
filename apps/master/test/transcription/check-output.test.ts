import { type ChunkOutput, SAMPLE_RATE, type Window } from '@sc/shared/transcription.ts'
import { describe, expect, it } from 'vitest'
import { readChunkOutput, readDetectOutput } from '../../src/transcription/check-output.ts'
import { toChunkResult } from '../../src/transcription/job.ts'
import { mergeTranscript } from '../../src/transcription/merge.ts'

function windowsOf(...seconds: number[]): Window[] {
  let start = 0
  return seconds.map(length => {
    const end = start + length * SAMPLE_RATE
    const window: Window = { start, end, speech: [[start, end]], overlap: 0 }
    start = end
    return window
  })
}

const NUMBERS = { avg_logprob: -0.2, no_speech_prob: 0.01, compression_ratio: 1.1, temperature: 0 }
const word = (text: string, at = 0) => ({ word: text, start: at / 10, end: at / 10 + 0.1, probability: 0.905 })

/** As many words for each window, one segment for every ten. */
function outputOf(windows: Window[], words: number, text = ' so'): ChunkOutput {
  const all = Array.from({ length: words }, (_, at) => word(text, at % 300))
  const segments = Array.from({ length: Math.ceil(words / 10) }, (_, at) => {
    const part = all.slice(at * 10, at * 10 + 10)
    return { start: 0, end: 1, text: part.map(({ word }) => word).join(''), words: part, ...NUMBERS }
  })
  const quality = [{ kind: 'redecoded' as const, start: 0, end: 1, detail: 'repeats itself' }]
  const one = { language: 'en', language_probability: 0.9, segments, quality }
  return { windows: windows.map(() => structuredClone(one)), model: 'base', device: 'cpu', compute_type: 'int8' }
}

const reading = (windows: Window[], output: unknown) => () => readChunkOutput(windows, output)
const refusal = (detail: RegExp) =>
  expect.objectContaining({ code: 'SC_TASK_FAILED', message: expect.stringMatching(detail) })

describe('the result of a chunk', () => {
  const usual = windowsOf(30, 12, 5)

  it('is taken as it is, also where Whisper repeats itself', () => {
    const fast = outputOf(usual, 150)
    expect(readChunkOutput(usual, fast)).toEqual(fast)
    // All that a decoding can hold, in windows of no more than a click.
    const clicks = windowsOf(...Array.from({ length: 40 }, () => 0.7))
    const loops = outputOf(clicks, 224, ' ......................................')
    expect(readChunkOutput(clicks, loops)).toEqual(loops)
  })

  it('has no more words, segments and notes than its audio can give', () => {
    const two = windowsOf(30, 30)
    expect(reading(two, outputOf(two, 40_000))).toThrow(refusal(/characters for 60 s of audio in 2 windows/))
    const short = outputOf(two, 0)
    for (const window of short.windows)
      window.segments = [
        { start: 0, end: 1, text: '', words: Array.from({ length: 1_500 }, () => word('')), ...NUMBERS }
      ]
    expect(reading(two, short)).toThrow(refusal(/3000 words for 60 s of audio in 2 windows; 2300 are the most/))
    const noted = outputOf(two, 1)
    noted.windows[0]?.quality.push(
      ...Array.from({ length: 2_400 }, () => ({ kind: 'redecoded' as const, start: 0, end: 1, detail: '' }))
    )
    expect(reading(two, noted)).toThrow(refusal(/2402 notes/))
  })

  it('has one window for each of the unit', () => {
    expect(reading(usual, outputOf(windowsOf(30, 12), 10))).toThrow(refusal(/2 windows for 47 s of audio in 3 windows/))
    expect(reading(usual, outputOf(windowsOf(30, 12, 5, 1), 10))).toThrow(refusal(/4 windows/))
    expect(reading(usual, null)).toThrow(refusal(/expected object/))
  })

  it('names languages by their codes, and no time or figure that nobody can add up', () => {
    for (const change of [
      { language: 'x'.repeat(21) },
      { language_probability: 1e300 },
      { segments: [{ start: 0, end: 1e300, text: '', words: [], ...NUMBERS }] }
    ]) {
      const output = outputOf(usual, 1)
      Object.assign(output.windows[1] as object, change)
      expect(reading(usual, output), Object.keys(change)[0]).toThrow(refusal(/windows\.1\./))
    }
  })

  it('that was accepted before is a gap, and not the end of the job', () => {
    const span = { startSample: 0, endSample: 47 * SAMPLE_RATE }
    const unit = { index: 0, status: 'DONE' as const, params: { windows: usual }, span, error: null }
    const good = toChunkResult({ ...unit, output: outputOf(usual, 10) })
    expect(good).toMatchObject({ error: null, output: { model: 'base' } })
    expect(toChunkResult({ ...unit, output: outputOf(usual, 40_000) })).toMatchObject({
      output: null,
      error: { code: 'SC_TASK_FAILED', detail: expect.stringMatching(/characters for 47 s/) }
    })
  })
})

it('a detected language is a code', () => {
  expect(readDetectOutput({ language: 'haw', probability: 0.5 })).toEqual({ language: 'haw', probability: 0.5 })
  expect(() => readDetectOutput({ language: 'x'.repeat(21), probability: 1 })).toThrow(refusal(/^.*language: /))
  expect(() => readDetectOutput({ language: 'x'.repeat(15_000_000), probability: 1 })).toThrow(refusal(/1000 are the/))
  expect(() => readDetectOutput(undefined)).toThrow(refusal(/expected object/))
})

it('the most that workers can answer for three hours without a pause is merged in seconds', () => {
  const chunks = Array.from({ length: 72 }, (_, index) => {
    const windows = windowsOf(30, 30, 30, 30, 30).map((window, at) => ({
      ...window,
      end: window.end + (at < 4 ? 5 * SAMPLE_RATE : 0),
      overlap: at > 0 || index > 0 ? 5 * SAMPLE_RATE : 0
    }))
    const output = outputOf(windows, 1_150, '.')
    const startSample = index * 150 * SAMPLE_RATE
    const span = { startSample, endSample: startSample + 150 * SAMPLE_RATE }
    return toChunkResult({ index, status: 'DONE', params: { windows }, span, output, error: null })
  })
  const begunMs = performance.now()
  const document = mergeTranscript({
    jobId: 'job-1',
    sourceFile: 'talk.mp3',
    createdAt: new Date(0),
    model: 'base',
    chunkSeconds: 150,
    wordTimestamps: true,
    durationSeconds: 3 * 3600,
    windows: 360,
    warnings: [],
    chunks
  })
  expect(document.gaps).toEqual([])
  expect(document.word_count).toBeGreaterThan(100_000)
  expect(performance.now() - begunMs).toBeLessThan(10_000)
}, 30_000)
