import { z } from 'zod'

/**
 * What master and Python agree on for `transcribe.chunk` and `transcribe.detect`. Positions are integer samples at
 * 16 kHz. In a unit they count from the start of the unit's own audio, so that the same audio gives the same unit.
 */
export const SAMPLE_RATE = 16_000

const samples = z.number().int().nonnegative()

/** Up to 30 s of audio between two pauses. */
export const windowSchema = z.object({
  start: samples,
  end: samples,
  /** Stretches of speech inside the window, [start, end) each, in order. */
  speech: z.array(z.tuple([samples, samples])),
  /** Samples shared with the window before: 0, but after a forced cut (no pause for 30 s). */
  overlap: samples
})
export type Window = z.infer<typeof windowSchema>

/** Everything that changes a unit's text, apart from its audio. */
export const decodeParamsSchema = z.object({
  model: z.string(),
  task: z.enum(['transcribe', 'translate']),
  /** ISO 639-1 code, or null: detect. */
  language: z.string().nullable(),
  prompt: z.string().nullable(),
  hotwords: z.string().nullable(),
  temperature: z.number().min(0).max(1)
})
export type DecodeParams = z.infer<typeof decodeParamsSchema>

/**
 * `params` of a `transcribe.chunk` unit; its `inputRef` is the chunk's WAV. `blobs.probe` is the WAV of the recording's
 * first windows of speech (`probeWindows`, positions in that WAV), from which the recording's main language is
 * detected when `language` is null; the worker hands each blob to the task as a local file under `files`.
 */
export const chunkParamsSchema = decodeParamsSchema.extend({
  windows: z.array(windowSchema),
  probeWindows: z.array(windowSchema),
  blobs: z.record(z.string(), z.string())
})
export type ChunkParams = z.infer<typeof chunkParamsSchema>

/** What a worker answers has bounds, far above what any audio gives; `MOST_…` of lengths in characters. */
const MOST_NAME = 200
/** Whisper's codes have two or three letters. */
const MOST_LANGUAGE = 20
const MOST_WORD = 2_000
const MOST_TEXT = 100_000
const MOST_DETAIL = 2_000
/** Of one window, and windows of one unit; what a unit's audio can give at most, the master counts (`check-output.ts`). */
const MOST_PARTS = 30_000
/** A window has 30 s. */
const LATEST_SECONDS = 3_600
const LARGEST_FIGURE = 1_000_000

const seconds = z.number().min(-LATEST_SECONDS).max(LATEST_SECONDS)
const figure = z.number().min(-LARGEST_FIGURE).max(LARGEST_FIGURE)
const languageOfAudio = z.string().max(MOST_LANGUAGE)

export const wordSchema = z.object({
  word: z.string().max(MOST_WORD),
  start: seconds,
  end: seconds,
  probability: figure
})
export type Word = z.infer<typeof wordSchema>

/** Times in seconds from the start of the segment's window. */
export const segmentSchema = z.object({
  start: seconds,
  end: seconds,
  text: z.string().max(MOST_TEXT),
  words: z.array(wordSchema).max(MOST_PARTS),
  avg_logprob: figure,
  no_speech_prob: figure,
  compression_ratio: figure,
  temperature: figure
})
export type Segment = z.infer<typeof segmentSchema>

/** What was noticed about a place. Times in seconds from the start of the window. */
export const qualityNoteSchema = z.object({
  kind: z.enum(['redecoded', 'speech-without-words', 'low-confidence', 'no-text-kept']),
  start: seconds,
  end: seconds,
  detail: z.string().max(MOST_DETAIL)
})
export type QualityNote = z.infer<typeof qualityNoteSchema>

export const decodedWindowSchema = z.object({
  language: languageOfAudio,
  language_probability: figure,
  segments: z.array(segmentSchema).max(MOST_PARTS),
  quality: z.array(qualityNoteSchema).max(MOST_PARTS)
})
export type DecodedWindow = z.infer<typeof decodedWindowSchema>

/** Output of `transcribe.chunk`: one entry for each window of the unit, in order. */
export const chunkOutputSchema = z.object({
  windows: z.array(decodedWindowSchema).max(MOST_PARTS),
  model: z.string().max(MOST_NAME),
  device: z.string().max(MOST_NAME),
  compute_type: z.string().max(MOST_NAME)
})
export type ChunkOutput = z.infer<typeof chunkOutputSchema>

/** Output of `transcribe.detect`. */
export const detectOutputSchema = z.object({ language: languageOfAudio, probability: figure })
export type DetectOutput = z.infer<typeof detectOutputSchema>

/** Models that know only English: `tiny.en`, `distil-large-v3.5`, … */
export function isEnglishOnly(model: string): boolean {
  return /\.en$/.test(model) || /^distil-/.test(model)
}
