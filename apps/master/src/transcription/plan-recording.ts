import { ScError } from '@sc/shared/errors.ts'
import { SAMPLE_RATE, type Window } from '@sc/shared/transcription.ts'
import { type Chunk, createChunkPacker, moveWindow } from './chunks.ts'
import { type DecodeOptions, decodeStream, type ProbeResult, probeRecording } from './ffmpeg.ts'
import { findParts, hasTimestamps, isWalked } from './file-parts.ts'
import { free } from './free.ts'
import { hearSpeech } from './hear-speech.ts'
import type { PlannedTrack, TranscriptNote } from './merge.ts'
import { findOppositeChannel } from './opposite-channels.ts'
import { createPcmTape, type PcmTape } from './pcm-tape.ts'
import { planNotes } from './plan-notes.ts'
import { openVoiceActivity, type VoiceActivity } from './voice-activity.ts'
import { createWav, WAV_HEADER_BYTES } from './wav.ts'
import { createWindowCutter } from './windows.ts'

/** The recording's language is found in its first windows: as many as have so much speech, at most three. */
const PROBE_SAMPLES = 20 * SAMPLE_RATE
const PROBE_WINDOWS = 3

/** The rest is found in the file. */
type PlanInput = 'ffmpegPath' | 'path' | 'track' | 'channel' | 'maxSeconds' | 'timeoutMs' | 'signal'

export interface PlanOptions extends Pick<DecodeOptions, PlanInput> {
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
export type PlanStep = ProbeStep | ChunkStep | EndStep

export interface EndStep {
  readonly kind: 'end'
  readonly durationSeconds: number
  readonly declaredSeconds: number | null
  /** Length of the windows, overlaps counted once. */
  readonly speechSeconds: number
  readonly windows: number
  readonly track: PlannedTrack
  readonly warnings: TranscriptNote[]
}

/**
 * From a recording on disk to its chunks, each as soon as it is known. The same bytes whenever it runs again. Asking
 * for the next step slowly slows the decoder; what is kept in memory does not grow with the recording. Of several tracks
 * the default one is planned, but where it has no speech the first that has some.
 */
export async function* planRecording(options: PlanOptions): AsyncGenerator<PlanStep, void> {
  // First, because its start takes longer than a look at the recording.
  const voiceActivity = options.voiceActivity ?? openVoiceActivity()
  try {
    const found = await probeRecording(options)
    let end: EndStep | undefined
    for (const track of tracksToTry(options, found)) {
      const probed = track === found.track ? found : await probeRecording({ ...options, track }).catch(asNothing)
      if (!probed) continue
      let last: EndStep | undefined
      for await (const step of planTrack({ ...options, voiceActivity }, probed)) {
        if (step.kind === 'end') last = step
        else yield step
      }
      // Without speech there was no other step.
      if (!end || (last?.windows ?? 0) > 0) end = last
      if ((end?.windows ?? 0) > 0) break
    }
    if (end) yield end
  } finally {
    if (!options.voiceActivity) await voiceActivity.close()
  }
}

function tracksToTry({ track }: PlanOptions, found: ProbeResult): number[] {
  if (track !== undefined) return [track]
  return [found.track, ...found.tracks.map(({ index }) => index).filter(index => index !== found.track)]
}

/** A track that cannot be decoded has no speech; what is wrong with the file itself was found before. */
function asNothing(error: unknown): null {
  if (error instanceof ScError && error.code === 'SC_NOT_AUDIO') return null
  throw error
}

async function* planTrack(
  options: PlanOptions & { voiceActivity: VoiceActivity },
  probed: ProbeResult
): AsyncGenerator<PlanStep, void> {
  const { voiceActivity, path, signal } = options
  const { track, format, untold } = probed
  const parts = await findParts(path, format, signal)
  const channel = await chooseChannel(options, probed)
  const decoder = decodeStream({
    ...options,
    track,
    channel: channel ?? options.channel ?? 'mix',
    startSeconds: probed.startSeconds,
    parts,
    hasTimestamps: hasTimestamps(format),
    readsLog: !isWalked(format),
    ignoresLength: untold !== null
  })
  try {
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
    const durationSeconds = next.value.samples / SAMPLE_RATE
    yield {
      kind: 'end',
      durationSeconds,
      declaredSeconds: probed.declaredSeconds,
      speechSeconds: speechSamples / SAMPLE_RATE,
      windows: windowCount,
      track: { index: track, of: probed.tracks.length },
      warnings: planNotes({
        probed,
        decoded: next.value,
        durationSeconds,
        channel,
        isAsked: options.track !== undefined
      })
    }
  } finally {
    await decoder.return({ samples: 0, gaveUp: null, damaged: [] })
  }
}

/** Null: as the options say. */
async function chooseChannel(options: PlanOptions, { track, channels }: ProbeResult): Promise<0 | 1 | null> {
  const { ffmpegPath, path, channel = 'mix', signal } = options
  if (channel !== 'mix' || channels !== 2) return null
  return await findOppositeChannel({ ffmpegPath, path, track, signal })
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
