import { SAMPLE_RATE, type Window } from '@sc/shared/transcription.ts'
import { type Chunk, createChunkPacker, moveWindow } from './chunks.ts'
import { type DecodeOptions, decodeStream, probeRecording } from './ffmpeg.ts'
import { free } from './free.ts'
import { hearSpeech } from './hear-speech.ts'
import type { TranscriptNote } from './merge.ts'
import { createPcmTape, type PcmTape } from './pcm-tape.ts'
import { openVoiceActivity, type VoiceActivity } from './voice-activity.ts'
import { createWav, WAV_HEADER_BYTES } from './wav.ts'
import { createWindowCutter } from './windows.ts'

/** The recording's language is found in its first windows: as many as have so much speech, at most three. */
const PROBE_SAMPLES = 20 * SAMPLE_RATE
const PROBE_WINDOWS = 3
/** Decoded and declared length may differ by so much in a file that is whole. */
const TRUNCATED_SECONDS = 1

export interface PlanOptions extends DecodeOptions {
  readonly chunkSeconds: number
  readonly onProgress?: (decodedSeconds: number) => void
  /** Asked before each block of audio; left out: nobody else plans. */
  readonly turn?: () => Promise<void>
  /** The master's voice activity; left out: one for this recording alone. */
  readonly voiceActivity?: VoiceActivity
}

export interface ChunkStep extends Chunk {
  readonly kind: 'chunk'
  /** Empty as soon as the next step is asked for. */
  readonly wav: Buffer<ArrayBuffer>
}

/** The first windows of speech, one after the other in `wav`, where `windows` has their places. */
export interface ProbeStep {
  readonly kind: 'probe'
  readonly windows: Window[]
  readonly wav: Buffer<ArrayBuffer>
}

/** In this order: `probe`, `chunk`…, `end`. A recording without speech has the `end` only. */
export type PlanStep =
  | ProbeStep
  | ChunkStep
  | {
      kind: 'end'
      durationSeconds: number
      declaredSeconds: number | null
      /** Length of the windows, overlaps counted once. */
      speechSeconds: number
      windows: number
      warnings: TranscriptNote[]
    }

/**
 * From a recording on disk to its chunks, each as soon as it is known. The same bytes whenever it runs again. Asking
 * for the next step slowly slows the decoder; what is kept in memory does not grow with the recording.
 */
export async function* planRecording(options: PlanOptions): AsyncGenerator<PlanStep, void> {
  // First, because its start takes longer than a look at the recording.
  const voiceActivity = options.voiceActivity ?? openVoiceActivity()
  const decoder = decodeStream(options)
  try {
    const probed = probeRecording(options)
    // Decoding meets what is wrong with the file, too.
    probed.catch(() => {})
    const tape = createPcmTape()
    const hearing = hearSpeech(decoder, {
      tape,
      voiceActivity,
      onProgress: options.onProgress,
      turn: options.turn
    })
    const cutter = createWindowCutter()
    const packer = createChunkPacker(options.chunkSeconds)
    const probe = createProbe(tape)
    let windowCount = 0
    let speechSamples = 0
    const news = hearing.news()
    let next = await news.next()
    for (; !next.done; next = await news.next()) {
      const windows = cutter.push(next.value)
      for (const window of windows) {
        windowCount++
        speechSamples += window.end - window.start - window.overlap
        probe.add(window)
      }
      const ended = next.value.samples !== null
      const chunks = packer.push(windows, cutter.neededFrom())
      if (ended) chunks.push(...packer.end())
      const steps = probe.before(
        chunks.map(chunk => toStep(chunk, tape)),
        ended
      )
      for (const step of steps) {
        yield step
        free(step.wav)
      }
      tape.dropBefore(
        Math.min(hearing.neededFrom(), cutter.neededFrom(), packer.neededFrom() ?? Number.POSITIVE_INFINITY)
      )
    }
    const { declaredSeconds } = await probed
    const durationSeconds = next.value.samples / SAMPLE_RATE
    yield {
      kind: 'end',
      durationSeconds,
      declaredSeconds,
      speechSeconds: speechSamples / SAMPLE_RATE,
      windows: windowCount,
      warnings: warningsOf(durationSeconds, declaredSeconds, next.value.gaveUp)
    }
  } finally {
    await decoder.return({ samples: 0, gaveUp: null })
    if (!options.voiceActivity) await voiceActivity.close()
  }
}

function toStep(chunk: Chunk, tape: PcmTape): ChunkStep {
  const wav = createWav(chunk.endSample - chunk.startSample)
  tape.copy(wav, WAV_HEADER_BYTES, chunk.startSample, chunk.endSample)
  return { kind: 'chunk', ...chunk, wav }
}

/** Holds chunks back until the first windows are there, so that every unit can be queued with them. */
function createProbe(tape: PcmTape) {
  const parts: Buffer[] = []
  const windows: Window[] = []
  const held: ChunkStep[] = []
  let samples = 0
  let done = false

  function isComplete(): boolean {
    return windows.length === PROBE_WINDOWS || samples >= PROBE_SAMPLES
  }

  function add(window: Window): void {
    if (isComplete()) return
    const part = Buffer.alloc(2 * (window.end - window.start))
    tape.copy(part, 0, window.start, window.end)
    parts.push(part)
    windows.push({ ...moveWindow(window, samples - window.start), overlap: 0 })
    samples += window.end - window.start
  }

  function* before(chunks: ChunkStep[], ended: boolean): Generator<ProbeStep | ChunkStep> {
    if (!done && (isComplete() || (ended && windows.length > 0))) {
      done = true
      const wav = createWav(samples)
      Buffer.concat(parts.splice(0)).copy(wav, WAV_HEADER_BYTES)
      yield { kind: 'probe', windows, wav }
    }
    held.push(...chunks)
    while (done && held.length > 0) yield held.shift() as ChunkStep
  }
  return { add, before }
}

function warningsOf(durationSeconds: number, declaredSeconds: number | null, gaveUp: string | null): TranscriptNote[] {
  const missing = (declaredSeconds ?? 0) - durationSeconds
  if (missing <= TRUNCATED_SECONDS && !gaveUp) return []
  const said = missing > TRUNCATED_SECONDS ? `the file says it has ${declaredSeconds?.toFixed(1)} s` : ''
  const detail = [`decoded ${durationSeconds.toFixed(1)} s`, said, gaveUp ?? ''].filter(Boolean).join('; ')
  return [
    {
      kind: 'truncated',
      start: round(durationSeconds),
      end: round(Math.max(durationSeconds, declaredSeconds ?? 0)),
      detail
    }
  ]
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
