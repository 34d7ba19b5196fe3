import { z } from 'zod'
import { bounded } from './bounded.ts'

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

/** Times of a window, which has half a minute. */
const seconds = bounded(0, 3_600)
const probability = bounded(0, 1)
/** Of a measure that may be below 0. */
const measure = bounded(-1e6, 1e6)

export const wordSchema = z.object({ word: z.string(), start: seconds, end: seconds, probability })
export type Word = z.infer<typeof wordSchema>

/** Times in seconds from the start of the segment's window. */
export const segmentSchema = z.object({
  start: seconds,
  end: seconds,
  text: z.string(),
  words: z.array(wordSchema),
  avg_logprob: measure,
  no_speech_prob: probability,
  compression_ratio: measure,
  temperature: measure
})
export type Segment = z.infer<typeof segmentSchema>

/** What was noticed about a place. Times in seconds from the start of the window. */
export const qualityNoteSchema = z.object({
  kind: z.enum(['redecoded', 'speech-without-words', 'low-confidence', 'no-text-kept']),
  start: seconds,
  end: seconds,
  detail: z.string()
})
export type QualityNote = z.infer<typeof qualityNoteSchema>

export const decodedWindowSchema = z.object({
  language: z.string(),
  language_probability: probability,
  segments: z.array(segmentSchema),
  quality: z.array(qualityNoteSchema)
})
export type DecodedWindow = z.infer<typeof decodedWindowSchema>

/** Output of `transcribe.chunk`: one entry for each window of the unit, in order. */
export const chunkOutputSchema = z.object({
  windows: z.array(decodedWindowSchema),
  model: z.string(),
  device: z.string(),
  compute_type: z.string()
})
export type ChunkOutput = z.infer<typeof chunkOutputSchema>

/** Output of `transcribe.detect`. */
export const detectOutputSchema = z.object({ language: z.string(), probability })
export type DetectOutput = z.infer<typeof detectOutputSchema>

/** Models that know only English: `tiny.en`, `distil-large-v3.5`, … */
export function isEnglishOnly(model: string): boolean {
  return /\.en$/.test(model) || /^distil-/.test(model)
}
