import { stat } from 'node:fs/promises'
import { ScError } from '@sc/shared/errors.ts'
import { SAMPLE_RATE } from '@sc/shared/transcription.ts'
import { type Faults, listenForFaults, lostNote } from './faults.ts'
import { type ByteRange, type Channel, decodeCommand, describeCommand } from './ffmpeg-command.ts'
import { because, explain } from './ffmpeg-errors.ts'
import { readDescription, type Track } from './ffmpeg-log.ts'
import { type FfmpegEnd, startFfmpeg } from './ffmpeg-run.ts'
import { type FilePart, WHOLE_FILE } from './file-parts.ts'
import { free } from './free.ts'
import type { TranscriptNote } from './merge.ts'
import { readWavLength } from './wav.ts'

const PROBE_SECONDS = 0.5
const PROBE_TIMEOUT_MS = 20_000
const DECODE_TIMEOUT_MS = 3_600_000
const MAX_RECORDING_SECONDS = 24 * 3600
const BYTES_PER_SAMPLE = 2
const SILENCE_BYTES = 256 * 1024
/** Tracks that begin together are told apart by so much, by what encoders add. */
const LEAST_START_SECONDS = 0.04

export interface DecodeOptions {
  readonly ffmpegPath: string
  readonly path: string
  /** Of the file's audio tracks, from 0; left out: the first. */
  readonly track?: number | undefined
  readonly channel?: Channel
  /** When the track begins: so much silence comes before it. */
  readonly startSeconds?: number
  /** What of the file is decoded, one after the other; left out: all at once. */
  readonly parts?: readonly FilePart[]
  /** For a WAV whose header says less than there is. */
  readonly ignoresLength?: boolean
  /** False for formats without. */
  readonly hasTimestamps?: boolean
  /** False where `parts` leave out what is damaged. */
  readonly readsLog?: boolean
  /** A longer recording is SC_AUDIO_TOO_LONG. */
  readonly maxSeconds?: number
  /** Time that may be spent waiting for ffmpeg; a slow reader costs nothing. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

export interface DecodeSummary {
  readonly samples: number
  /** Why ffmpeg gave up before the end of the recording, else null. */
  readonly gaveUp: string | null
  /** The places that could not be decoded. */
  readonly damaged: readonly TranscriptNote[]
}

export interface ProbeResult {
  /** ffmpeg's name of it. */
  readonly format: string
  /** What the file says of itself, which may be a lie; null where it says nothing or ffmpeg only guesses. */
  readonly declaredSeconds: number | null
  /** The timestamp that the file begins with: some files count their length from 0, and some from there. */
  readonly firstTimestamp: number
  readonly hasVideo: boolean
  readonly tracks: readonly Track[]
  /** The one that was looked at. */
  readonly track: number
  /** When it begins, from where the file's first track does. */
  readonly startSeconds: number
  readonly channels: number | null
  readonly sampleRate: number | null
  readonly fileBytes: number
  /** Bytes of a WAV that its header does not know of, and those that it does. */
  readonly untold: { readonly bytes: number; readonly declaredBytes: number } | null
}

/**
 * A track of the recording as s16le, mono, 16 kHz, on the file's clock, in buffers of any size (also odd), each of them empty
 * as soon as the next one is asked for. Reading slowly slows ffmpeg.
 */
export async function* decodeStream(options: DecodeOptions): AsyncGenerator<Buffer, DecodeSummary> {
  const { maxSeconds = MAX_RECORDING_SECONDS, startSeconds = 0, parts = WHOLE_FILE, readsLog = true } = options
  const clock = createClock(maxSeconds)
  const damaged: TranscriptNote[] = []
  let soundSeconds = 0
  let firstLog: string | undefined
  let gaveUp: string | null = null
  yield* clock.silence(startSeconds)
  for (const { bytes, lostBytes, lostSeconds } of parts) {
    const lostFrom = clock.seconds()
    yield* clock.silence(lostSeconds)
    const from = clock.seconds()
    if (lostBytes > 0) damaged.push(lostNote(lostFrom, from, lostBytes))
    // The end of the file is damaged.
    if (bytes?.start === bytes?.end && bytes) continue
    const faults = listenForFaults(() => clock.seconds() - from)
    const { code, stderr } = yield* decodePart(options, bytes, clock, faults)
    const seconds = clock.seconds() - from
    soundSeconds += seconds
    firstLog ??= stderr
    if (readsLog) damaged.push(...faults.end(seconds).map(note => moveNote(note, from)))
    if (code !== 0) gaveUp = `ffmpeg gave up${because(stderr)}`
    else if (faults.endsEarly()) gaveUp = 'the file ends before its time'
  }
  if (soundSeconds === 0) throw explain(firstLog ?? '')
  return { samples: clock.samples(), gaveUp, damaged }
}

async function* decodePart(
  options: DecodeOptions,
  bytes: ByteRange | null,
  clock: Clock,
  { read }: Faults
): AsyncGenerator<Buffer, FfmpegEnd> {
  const { ffmpegPath, path, track = 0, channel = 'mix', timeoutMs = DECODE_TIMEOUT_MS, signal } = options
  const { hasTimestamps = true, ignoresLength } = options
  const wanted = {
    ffmpegPath,
    path,
    track,
    channel,
    hasTimestamps,
    ignoresLength,
    bytes,
    seconds: clock.mostSeconds + 1
  }
  const run = startFfmpeg(decodeCommand(wanted), { timeoutMs, signal, onLine: read })
  try {
    for (let buffer = await run.read(); buffer; buffer = await run.read()) {
      clock.count(buffer)
      yield buffer
      free(buffer)
    }
    const ended = await run.ended
    if (ended.signal) throw new ScError('SC_INTERNAL', `ffmpeg was ended by ${ended.signal} while decoding.`)
    return ended
  } finally {
    run.kill()
  }
}

/** How long the recording is so far, silence included. */
interface Clock {
  readonly mostSeconds: number
  count(buffer: Buffer): void
  silence(seconds: number): Generator<Buffer>
  seconds(): number
  samples(): number
}

function createClock(mostSeconds: number): Clock {
  let bytes = 0

  function count({ length }: Buffer): void {
    bytes += length
    if (bytes > mostSeconds * SAMPLE_RATE * BYTES_PER_SAMPLE)
      throw new ScError('SC_AUDIO_TOO_LONG', `The recording is longer than ${hours(mostSeconds)}.`)
  }

  function* silence(seconds: number): Generator<Buffer> {
    // What came before may have ended within a sample.
    bytes -= bytes % BYTES_PER_SAMPLE
    for (let left = Math.round(seconds * SAMPLE_RATE) * BYTES_PER_SAMPLE; left > 0; ) {
      const buffer = Buffer.alloc(Math.min(left, SILENCE_BYTES))
      count(buffer)
      left -= buffer.length
      yield buffer
    }
  }
  const samples = () => Math.floor(bytes / BYTES_PER_SAMPLE)
  return { mostSeconds, count, silence, samples, seconds: () => samples() / SAMPLE_RATE }
}

/**
 * What the file says of itself, after the first half second of a track was really decoded: the one that is asked for, else the
 * one that the file marks, else the first. Throws what is wrong with the file.
 */
export async function probeRecording(
  options: Pick<DecodeOptions, 'ffmpegPath' | 'path' | 'track' | 'channel' | 'signal'>
): Promise<ProbeResult> {
  const first = await look(options, options.track ?? 0)
  const { tracks } = first.found
  if (options.track !== undefined && tracks.length > 0 && options.track >= tracks.length)
    throw noSuchTrack(tracks.length)
  const track = options.track ?? tracks.find(({ isDefault }) => isDefault)?.index ?? 0
  const { found, bytes, stderr } = track === first.track ? first : await look(options, track)
  if (bytes < 2) throw explain(stderr)
  const wav = found.format === 'wav' ? await readWavLength(options.path) : null
  const { format, firstTimestamp, hasVideo, channels, sampleRate } = found
  const startSeconds = found.trackTimestamp - firstTimestamp
  return {
    format,
    firstTimestamp,
    fileBytes: (await stat(options.path)).size,
    hasVideo,
    tracks,
    track,
    channels,
    sampleRate,
    startSeconds: startSeconds < LEAST_START_SECONDS ? 0 : startSeconds,
    // Of a WAV that was cut off ffmpeg tells only how much there is.
    declaredSeconds: found.durationSeconds ?? wav?.seconds ?? null,
    untold: wav && wav.untoldBytes > 0 ? { bytes: wav.untoldBytes, declaredBytes: wav.bytes } : null
  }
}

async function look(
  { ffmpegPath, path, channel = 'mix', signal }: Pick<DecodeOptions, 'ffmpegPath' | 'path' | 'channel' | 'signal'>,
  track: number
) {
  const wanted = { ffmpegPath, path, track, channel, seconds: PROBE_SECONDS }
  const run = startFfmpeg(describeCommand(wanted), { timeoutMs: PROBE_TIMEOUT_MS, signal })
  try {
    let bytes = 0
    for (let buffer = await run.read(); buffer; buffer = await run.read()) bytes += buffer.length
    const { signal: endedBy, stderr, stderrHead } = await run.ended
    if (endedBy === 'SIGXCPU') throw new ScError('SC_DECODE_TIMEOUT', 'A look at the recording took too long.')
    return { track, bytes, stderr, found: readDescription(stderrHead) }
  } finally {
    run.kill()
  }
}

function noSuchTrack(count: number): ScError {
  const there = count === 1 ? 'one audio track, which is track 0' : `${count} audio tracks, 0 to ${count - 1}`
  return new ScError('SC_NO_SUCH_TRACK', `The file has ${there}.`)
}

function moveNote(note: TranscriptNote, bySeconds: number): TranscriptNote {
  return { ...note, start: toMs(note.start + bySeconds), end: toMs(note.end + bySeconds) }
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

function hours(seconds: number): string {
  return seconds >= 3600 ? `${Math.round(seconds / 360) / 10} h` : `${seconds} s`
}
