import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import type { Window } from '@sc/shared/transcription.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { childrenOfUs } from '../../../../test/children.ts'
import type { DecodeSummary } from '../../src/transcription/ffmpeg.ts'
import { hearSpeech } from '../../src/transcription/hear-speech.ts'
import { createPcmTape } from '../../src/transcription/pcm-tape.ts'
import { type PlanOptions, type PlanStep, planRecording } from '../../src/transcription/plan-recording.ts'
import type { SpeechNews } from '../../src/transcription/speech-stretches.ts'
import { openVoiceActivity, type VoiceActivity } from '../../src/transcription/voice-activity.ts'
import { type Corpus, makeCorpus } from '../corpus.ts'

const SAMPLES = ['jfk', 'austen-1', 'austen-3'].map(name => join(REPO_DIR, `samples/${name}.wav`))

let dir = ''
let ffmpegPath = ''
let corpus: Corpus
/** The samples, again and again with pauses between, 4 min. */
let talk = ''
let pcm: Buffer
let voiceActivity: VoiceActivity

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sc-plan-'))
  ffmpegPath = await findFfmpeg()
  corpus = await makeCorpus(ffmpegPath, join(dir, 'corpus'))
  talk = join(dir, 'talk.flac')
  const inputs = SAMPLES.flatMap(path => ['-i', path])
  const joined =
    '[0]apad=pad_dur=0.4[a];[1]apad=pad_dur=1.7[b];[2]apad=pad_dur=0.6[c];[a][b][c]concat=n=3:v=0:a=1,aloop=11:1e7'
  await run(['-v', 'error', ...inputs, '-filter_complex', joined, '-ar', '16000', talk])
  pcm = (await run(['-v', 'error', '-i', talk, '-f', 's16le', 'pipe:1'])) as Buffer
  voiceActivity = openVoiceActivity()
}, 120_000)

afterAll(async () => {
  await voiceActivity.close()
  await rm(dir, { recursive: true, force: true })
})

async function run(args: string[]): Promise<Buffer> {
  const { stdout } = await promisify(execFile)(ffmpegPath, args, { encoding: 'buffer', maxBuffer: 64 * 1024 ** 2 })
  return stdout
}

async function plan(path: string, options: Partial<PlanOptions> = {}): Promise<PlanStep[]> {
  const all: PlanStep[] = []
  for await (const step of planRecording({ ffmpegPath, path, chunkSeconds: 60, voiceActivity, ...options }))
    all.push(step.kind === 'end' ? step : { ...step, wav: Buffer.from(step.wav) })
  return all
}

async function collect<T>(steps: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const step of steps) all.push(step)
  return all
}

const chunksOf = (steps: PlanStep[]) => steps.filter(step => step.kind === 'chunk')
const endOf = (steps: PlanStep[]) => steps.find(step => step.kind === 'end')
/** All windows with positions in the recording. */
const windowsOf = (steps: PlanStep[]): Window[] =>
  chunksOf(steps).flatMap(({ startSample, windows }) =>
    windows.map(window => ({
      ...window,
      start: startSample + window.start,
      end: startSample + window.end,
      speech: window.speech.map(([start, end]): [number, number] => [startSample + start, startSample + end])
    }))
  )

describe('the plan of a recording', () => {
  test('has the first windows, the chunks in order, and an end', async () => {
    const steps = await plan(talk)
    expect(steps.map(step => step.kind).join(' ')).toMatch(/^probe( chunk){4,} end$/)
    expect(chunksOf(steps).map(step => step.index)).toEqual(chunksOf(steps).map((_, index) => index))
    expect(endOf(steps)).toMatchObject({
      durationSeconds: pcm.length / 32_000,
      windows: windowsOf(steps).length,
      warnings: []
    })
  })

  test('is the same in every run, to the last byte', async () => {
    expect(await plan(talk, { voiceActivity: undefined })).toEqual(await plan(talk))
  })

  test('has the same windows whatever the size of its chunks', async () => {
    const windows = windowsOf(await plan(talk))
    expect(windows.length).toBeGreaterThan(12)
    for (const chunkSeconds of [30, 150, 600]) {
      const steps = await plan(talk, { chunkSeconds })
      expect(windowsOf(steps)).toEqual(windows)
      for (const chunk of chunksOf(steps)) {
        expect(chunk.endSample - chunk.startSample).toBeLessThanOrEqual(chunkSeconds * 16_000)
      }
    }
  })

  test('has the audio of the recording in its chunks, as canonical WAVs', async () => {
    for (const { startSample, endSample, windows, wav } of chunksOf(await plan(talk))) {
      expect(wav.toString('latin1', 0, 4) + wav.toString('latin1', 8, 16)).toBe('RIFFWAVEfmt ')
      expect(wav.readUInt32LE(40)).toBe(wav.length - 44)
      expect(wav.subarray(44).equals(pcm.subarray(2 * startSample, 2 * endSample))).toBe(true)
      expect([windows[0]?.start, windows.at(-1)?.end]).toEqual([0, endSample - startSample])
    }
  })

  test('has its first windows, until they have 20 s or are three, one after the other in its probe', async () => {
    const steps = await plan(talk)
    const probe = steps.find(step => step.kind === 'probe')
    const windows = windowsOf(steps)
    const lengths = windows.map(({ start, end }) => (end - start) / 16_000)
    const enough = lengths.findIndex((_, at) => lengths.slice(0, at + 1).reduce((sum, one) => sum + one, 0) >= 20) + 1
    const first = windows.slice(0, Math.min(3, enough))
    const audio = first.map(({ start, end }) => pcm.subarray(2 * start, 2 * end))
    expect(probe?.wav.subarray(44).equals(Buffer.concat(audio))).toBe(true)
    expect(probe?.windows.map(({ start, end }) => end - start)).toEqual(first.map(({ start, end }) => end - start))
    expect(probe?.windows.at(-1)?.end).toBe((probe?.wav.length ?? 0) / 2 - 22)
  })

  test('tells how far decoding is', async () => {
    const told: number[] = []
    await plan(talk, { onProgress: seconds => told.push(seconds) })
    expect(told.length).toBeGreaterThan(2)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect(told.at(-1)).toBe(pcm.length / 32_000)
  })
})

describe('recordings without speech', () => {
  test.each(['oneSample', 'noise', 'silence6h'] as const)('%s has an empty plan', async file => {
    const steps = await plan(corpus[file])
    expect(steps).toEqual([expect.objectContaining({ kind: 'end', windows: 0, speechSeconds: 0 })])
  })
})

describe('what is wrong with a recording', () => {
  test.each(['truncatedMp3', 'truncatedWav', 'headerSaysMore'] as const)('%s: its end is missing', async file => {
    const end = endOf(await plan(corpus[file]))
    expect(end?.warnings).toEqual([
      expect.objectContaining({ kind: 'truncated', start: expect.closeTo(end?.durationSeconds ?? 0, 2) })
    ])
  })

  test('is thrown before the first step', async () => {
    await expect(plan(corpus.text)).rejects.toMatchObject({ code: 'SC_NOT_AUDIO' })
    await expect(plan(corpus.hlsAsMp3, { voiceActivity: undefined })).rejects.toMatchObject({ code: 'SC_NOT_AUDIO' })
    await expect(plan(talk, { channel: 3 })).rejects.toMatchObject({ code: 'SC_NO_SUCH_CHANNEL' })
  })

  test('a cancel in its midst ends it', async () => {
    const cancel = new AbortController()
    const steps = planRecording({ ffmpegPath, path: talk, chunkSeconds: 30, voiceActivity, signal: cancel.signal })
    expect((await steps.next()).value).toMatchObject({ kind: 'probe' })
    cancel.abort()
    await expect(collect(steps)).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  })
})

test('what is heard does not depend on how the decoder hands the audio over', async () => {
  async function hear(sizes: number[]): Promise<SpeechNews['closed'][number][]> {
    async function* decoder(): AsyncGenerator<Buffer, DecodeSummary> {
      for (let from = 0, turn = 0; from < pcm.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1
        yield pcm.subarray(from, from + size)
        from += size
      }
      return { samples: pcm.length / 2, gaveUp: null, damaged: [] }
    }
    const { news } = hearSpeech(decoder(), { tape: createPcmTape(), voiceActivity })
    return (await collect(news())).flatMap(({ closed }) => closed)
  }
  const stretches = await hear([pcm.length])
  expect(stretches.length).toBeGreaterThan(40)
  expect(await hear([65_536])).toEqual(stretches)
  expect(await hear([1, 4095, 77_777, 3_000_001])).toEqual(stretches)
})

describe('the process for voice activity', () => {
  test('ends at once, whatever it is doing, and takes nothing with it', async () => {
    for (const waitMs of [0, 100, 200, 300]) {
      const own = openVoiceActivity()
      const evaluated = own.evaluate({ pcm: new Uint8Array(own.buffer()).fill(7).buffer, frames: 2048 })
      await sleep(waitMs)
      await own.close()
      // Where the machine was quick, the answer came first.
      await evaluated.catch(error => expect(error).toMatchObject({ code: 'SC_INTERNAL' }))
    }
  })

  test('that ends in mid block is followed by another, which gives the same plan', async () => {
    const usual = await plan(talk)
    const killed: { pid: number }[] = []
    const onProgress = () => {
      if (killed.length > 0) return
      killed.push(...childrenOfUs().filter(({ command }) => command.includes('voice-activity-process')))
      for (const { pid } of killed) process.kill(pid, 'SIGKILL')
    }
    expect(await plan(talk, { onProgress })).toEqual(usual)
    expect(killed).toHaveLength(1)
  })

  test('that ends at one block again and again is an error, and the next block has a new process', async () => {
    const own = openVoiceActivity()
    await expect(own.evaluate({ pcm: new ArrayBuffer(3), frames: 9 })).rejects.toMatchObject({ code: 'SC_INTERNAL' })
    expect(await own.evaluate({ pcm: own.buffer(), frames: 9 })).toEqual(new Float32Array(9))
    await own.close()
  })
})
