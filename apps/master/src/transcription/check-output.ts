import { ScError } from '@sc/shared/errors.ts'
import {
  type ChunkOutput,
  chunkOutputSchema,
  type DetectOutput,
  detectOutputSchema,
  SAMPLE_RATE,
  type Window
} from '@sc/shared/transcription.ts'
import type { z } from 'zod'

/**
 * What a worker may answer for a unit of a transcription, by the length of its audio. Whatever is larger was made up, or is
 * a fault of the worker: an error of that unit, before it is anybody else's.
 *
 * Generous, so that no odd text is lost: people speak up to 7 words a second; where Whisper repeats itself it ends after
 * 224 tokens, and a word of the output has some 60 characters of JSON.
 */
const MOST_PARTS_PER_SECOND = 30
const MOST_PARTS_PER_WINDOW = 250
const MOST_CHARS_PER_SECOND = 3_000
const MOST_CHARS_PER_WINDOW = 40_000
/** `{"language":"en","probability":0.9}` */
const MOST_CHARS_OF_DETECTION = 1_000

export const CHUNK_TASK = 'transcribe.chunk'
export const DETECT_TASK = 'transcribe.detect'
/** Whose results are checked before they count. */
export const TRANSCRIPTION_TASKS = [CHUNK_TASK, DETECT_TASK]

/** Throws SC_TASK_FAILED for what cannot be the answer to a unit of `task` with these params; passes other tasks. */
export function checkOutput(task: string, params: Record<string, unknown>, output: unknown): void {
  if (task === CHUNK_TASK) readChunkOutput(windowsOf(params), output)
  else if (task === DETECT_TASK) readDetectOutput(output)
}

/** Throws SC_TASK_FAILED. */
export function readDetectOutput(output: unknown): DetectOutput {
  refuseLonger(output, MOST_CHARS_OF_DETECTION, 'a detected language')
  return parse(detectOutputSchema, output)
}

/** Throws SC_TASK_FAILED. */
export function readChunkOutput(windows: readonly Window[], output: unknown): ChunkOutput {
  const seconds = windows.reduce((sum, { start, end }) => sum + (end - start), 0) / SAMPLE_RATE
  const audio = `${Math.round(seconds)} s of audio in ${windows.length} windows`
  const most = (perSecond: number, perWindow: number): number =>
    Math.ceil(perSecond * seconds + perWindow * windows.length)
  // Before anything walks it.
  refuseLonger(output, most(MOST_CHARS_PER_SECOND, MOST_CHARS_PER_WINDOW) + MOST_CHARS_PER_WINDOW, audio)
  const chunk = parse(chunkOutputSchema, output)
  if (chunk.windows.length !== windows.length) throw refusal(`it has ${chunk.windows.length} windows for ${audio}`)
  const mostParts = most(MOST_PARTS_PER_SECOND, MOST_PARTS_PER_WINDOW)
  for (const [what, count] of Object.entries(countParts(chunk)))
    if (count > mostParts) throw refusal(`it has ${count} ${what} for ${audio}; ${mostParts} are the most`)
  return chunk
}

export function windowsOf(params: Record<string, unknown>): Window[] {
  return (params as { windows?: Window[] }).windows ?? []
}

function countParts({ windows }: ChunkOutput): Record<'words' | 'segments' | 'notes', number> {
  const counts = { words: 0, segments: 0, notes: 0 }
  for (const { segments, quality } of windows) {
    counts.segments += segments.length
    counts.notes += quality.length
    for (const { words } of segments) counts.words += words.length
  }
  return counts
}

function refuseLonger(output: unknown, mostChars: number, of: string): void {
  const { length } = JSON.stringify(output ?? null)
  if (length > mostChars) throw refusal(`it has ${length} characters for ${of}; ${mostChars} are the most`)
}

function parse<T>(schema: z.ZodType<T>, output: unknown): T {
  const parsed = schema.safeParse(output)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw refusal(`${issue?.path.join('.') || 'its output'}: ${issue?.message}`)
}

function refusal(why: string): ScError {
  return new ScError(
    'SC_TASK_FAILED',
    `The result of the worker was refused, since it cannot be of this audio: ${why}. Should that go on, see which worker it was (the job's units name it) and update it, or revoke it.`
  )
}
