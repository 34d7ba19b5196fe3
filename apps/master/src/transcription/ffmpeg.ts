import { open } from 'node:fs/promises'
import { ScError } from '@sc/shared/errors.ts'
import { SAMPLE_RATE } from '@sc/shared/transcription.ts'
import type { Channel } from './ffmpeg-command.ts'
import { because, explain } from './ffmpeg-errors.ts'
import { startFfmpeg } from './ffmpeg-run.ts'
import { free } from './free.ts'
import { declaredWavSeconds } from './wav.ts'

const HEAD_BYTES = 4096
const PROBE_SECONDS = 0.5
const PROBE_TIMEOUT_MS = 20_000
const DECODE_TIMEOUT_MS = 3_600_000
const MAX_RECORDING_SECONDS = 24 * 3600

export interface DecodeOptions {
  readonly ffmpegPath: string
  readonly path: string
  readonly channel?: Channel
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
}

export interface ProbeResult {
  /** What the file says of itself, which may be a lie; null where it says nothing or ffmpeg only guesses. */
  readonly declaredSeconds: number | null
  readonly channels: number | null
  readonly sampleRate: number | null
}

/**
 * The recording's first audio track as s16le, mono, 16 kHz, in buffers of any size (also odd), each of them empty as
 * soon as the next one is asked for. Reading slowly slows ffmpeg.
 */
export async function* decodeStream(options: DecodeOptions): AsyncGenerator<Buffer, DecodeSummary> {
  const { maxSeconds = MAX_RECORDING_SECONDS, channel = 'mix', timeoutMs = DECODE_TIMEOUT_MS } = options
  const run = startFfmpeg(
    { ...options, channel, seconds: maxSeconds + 1, describe: false },
    { timeoutMs, signal: options.signal }
  )
  let bytes = 0
  try {
    for (let buffer = await run.read(); buffer; buffer = await run.read()) {
      bytes += buffer.length
      if (bytes > maxSeconds * SAMPLE_RATE * 2)
        throw new ScError('SC_AUDIO_TOO_LONG', `The recording is longer than ${hours(maxSeconds)}.`)
      yield buffer
      free(buffer)
    }
    const { code, signal, stderr } = await run.ended
    if (signal) throw new ScError('SC_INTERNAL', `ffmpeg was ended by ${signal} while decoding.`)
    if (bytes < 2) throw explain(stderr)
    return { samples: bytes >> 1, gaveUp: code === 0 ? null : `ffmpeg gave up${because(stderr)}` }
  } finally {
    run.kill()
  }
}

/** What the file says of itself, after its first half second was really decoded; throws what is wrong with the file. */
export async function probeRecording(
  options: Pick<DecodeOptions, 'ffmpegPath' | 'path' | 'channel' | 'signal'>
): Promise<ProbeResult> {
  const { channel = 'mix', signal } = options
  const wanted = { ...options, channel, seconds: PROBE_SECONDS, describe: true }
  const run = startFfmpeg(wanted, { timeoutMs: PROBE_TIMEOUT_MS, signal })
  try {
    let bytes = 0
    for (let buffer = await run.read(); buffer; buffer = await run.read()) bytes += buffer.length
    const { stderr, stderrHead } = await run.ended
    if (bytes < 2) throw explain(stderr)
    const { declaredSeconds, ...found } = readProbe(stderrHead)
    // Of a WAV that was cut off ffmpeg tells only how much there is.
    return { ...found, declaredSeconds: declaredSeconds ?? declaredWavSeconds(await readHead(options.path)) }
  } finally {
    run.kill()
  }
}

async function readHead(path: string): Promise<Buffer> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
  return buffer.subarray(0, bytesRead)
}

function readProbe(log: string): ProbeResult {
  const [, hour, minute, second] = /^ {2}Duration: (\d+):(\d\d):(\d\d\.\d+)/m.exec(log) ?? []
  const guessed = log.includes('Estimating duration from bitrate')
  const frame = /^\[Parsed_ashowinfo_0 .* channels:(\d+) .*rate:(\d+) /m.exec(log)
  return {
    declaredSeconds:
      second && !guessed
        ? (Number(hour) * 360_000 + Number(minute) * 6000 + Math.round(Number(second) * 100)) / 100
        : null,
    channels: frame ? Number(frame[1]) : null,
    sampleRate: frame ? Number(frame[2]) : null
  }
}

function hours(seconds: number): string {
  return seconds >= 3600 ? `${Math.round(seconds / 360) / 10} h` : `${seconds} s`
}
