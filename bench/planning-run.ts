import { decodeStream } from '../apps/master/src/transcription/ffmpeg.ts'
import { hearSpeech } from '../apps/master/src/transcription/hear-speech.ts'
import { createPcmTape } from '../apps/master/src/transcription/pcm-tape.ts'
import { planRecording } from '../apps/master/src/transcription/plan-recording.ts'
import { openVoiceActivity, type VoiceActivity } from '../apps/master/src/transcription/voice-activity.ts'

/** One process's measurements for planning.ts, as JSON on stdout: `short FFMPEG FILE RUNS` or `long FFMPEG FILE`. */
export interface ShortRuns {
  /** x real time, one number a run. */
  planning: number[]
  decoding: number[]
  hearing: number[]
}

export interface LongRun {
  firstChunkSeconds: number
  speed: number
  beforeMb: number
  grownMb: number
}

const CHUNK_SECONDS = 150
const MEMORY_EVERY_MS = 20
const MB = 1024 ** 2

async function main([kind, ffmpegPath = '', path = '', runs]: string[]): Promise<ShortRuns | LongRun> {
  const voiceActivity = openVoiceActivity()
  await voiceActivity.evaluate({ pcm: voiceActivity.buffer(), frames: 1 })
  try {
    if (kind === 'long') return await runLong(ffmpegPath, path, voiceActivity)
    return await runShort(ffmpegPath, path, voiceActivity, Number(runs))
  } finally {
    await voiceActivity.close()
  }
}

async function runShort(
  ffmpegPath: string,
  path: string,
  voiceActivity: VoiceActivity,
  runs: number
): Promise<ShortRuns> {
  const result: ShortRuns = { planning: [], decoding: [], hearing: [] }
  for (let run = 0; run < runs; run++) {
    let startedMs = performance.now()
    const speed = (seconds: number) => seconds / ((performance.now() - startedMs) / 1000)
    for await (const step of planRecording({ ffmpegPath, path, chunkSeconds: CHUNK_SECONDS, voiceActivity }))
      if (step.kind === 'end') result.planning.push(speed(step.durationSeconds))
    startedMs = performance.now()
    const buffers: Buffer[] = []
    for await (const buffer of decodeStream({ ffmpegPath, path })) buffers.push(Buffer.from(buffer))
    const samples = buffers.reduce((sum, { length }) => sum + length, 0) / 2
    result.decoding.push(speed(samples / 16_000))
    startedMs = performance.now()
    const { news } = hearSpeech(replay(buffers, samples), { tape: createPcmTape(), voiceActivity })
    for await (const _ of news());
    result.hearing.push(speed(samples / 16_000))
  }
  return result
}

async function* replay(buffers: Buffer[], samples: number) {
  yield* buffers
  return { samples, gaveUp: null, damaged: [] }
}

async function runLong(ffmpegPath: string, path: string, voiceActivity: VoiceActivity): Promise<LongRun> {
  const result: LongRun = { firstChunkSeconds: 0, speed: 0, beforeMb: process.memoryUsage.rss() / MB, grownMb: 0 }
  const timer = setInterval(() => {
    result.grownMb = Math.max(result.grownMb, process.memoryUsage.rss() / MB - result.beforeMb)
  }, MEMORY_EVERY_MS)
  const startedMs = performance.now()
  const seconds = () => (performance.now() - startedMs) / 1000
  for await (const step of planRecording({ ffmpegPath, path, chunkSeconds: CHUNK_SECONDS, voiceActivity })) {
    if (step.kind === 'chunk') result.firstChunkSeconds ||= seconds()
    if (step.kind === 'end') result.speed = step.durationSeconds / seconds()
  }
  clearInterval(timer)
  return result
}

process.stdout.write(JSON.stringify(await main(process.argv.slice(2))))
