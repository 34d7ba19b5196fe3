import type { ErrorReport } from '@sc/shared/errors.ts'
import { type ChunkOutput, type QualityNote, SAMPLE_RATE, type Segment, type Window } from '@sc/shared/transcription.ts'
import type { Gap } from '../database/schema.ts'
import { joinOverlap } from './join-overlap.ts'

/** What was noticed about a place of the recording. Times in seconds from its start. */
export interface TranscriptNote {
  kind:
    | QualityNote['kind']
    | 'truncated'
    | 'overlap-joined'
    | 'damaged'
    | 'wrong-length'
    | 'track-chosen'
    | 'channel-chosen'
    | 'no-speech'
  start: number
  end: number
  detail: string
}

/** One of a file's audio tracks, from 0, and how many it has. */
export interface PlannedTrack {
  readonly index: number
  readonly of: number
}

/** A chunk after its unit ended: `output`, or null and the `error`. */
export interface ChunkResult {
  readonly index: number
  readonly startSample: number
  readonly endSample: number
  /** Positions count from the start of the chunk. */
  readonly windows: readonly Window[]
  readonly output: ChunkOutput | null
  readonly error: ErrorReport | null
}

/** Times in seconds from the start of the recording, rounded to ms. */
export interface TranscriptSegment extends Segment {
  /** Index of the chunk it came from. */
  chunk: number
}

/** `transcription.json`. */
export interface Transcript {
  transcription: string
  segments: TranscriptSegment[]
  /** The language of most of the recording first. */
  languages: { language: string; probability: number; duration_seconds: number }[]
  model: string
  chunking: { chunk_seconds: number; chunks: number; windows: number }
  duration_seconds: number
  word_count: number
  job_id: string
  source_file: string
  gaps: Gap[]
  quality: TranscriptNote[]
  created_at: string
  /** The audio track that the text is of, from 0; only of a file with several. */
  track?: PlannedTrack
}

export interface MergeInput {
  readonly jobId: string
  readonly sourceFile: string
  readonly createdAt: Date
  readonly model: string
  readonly chunkSeconds: number
  readonly wordTimestamps: boolean
  readonly durationSeconds: number
  /** How many windows the recording has. */
  readonly windows: number
  readonly warnings: readonly TranscriptNote[]
  readonly track?: PlannedTrack | undefined
  readonly chunks: readonly ChunkResult[]
}

/** A window's text with times of the recording. */
interface HeardWindow {
  readonly start: number
  readonly end: number
  readonly overlap: number
  readonly language: string
  readonly languageProbability: number
  readonly notes: TranscriptNote[]
  segments: TranscriptSegment[]
}

/** The results of all chunks as one transcript. Text and times depend on the windows alone, not on how they were chunked. */
export function mergeTranscript(input: MergeInput): Transcript {
  const chunks = input.chunks.toSorted((a, b) => a.index - b.index)
  const windows = chunks.flatMap(readWindows)
  const joins = joinForcedCuts(windows)
  const segments = inOrder(windows.flatMap(window => window.segments))
  return {
    transcription: joinTexts(segments.map(segment => segment.text)),
    segments: input.wordTimestamps ? segments : segments.map(segment => ({ ...segment, words: [] })),
    languages: languagesOf(windows),
    model: input.model,
    chunking: { chunk_seconds: input.chunkSeconds, chunks: chunks.length, windows: input.windows },
    duration_seconds: toMs(input.durationSeconds),
    word_count: segments.reduce((count, segment) => count + segment.words.length, 0),
    job_id: input.jobId,
    source_file: input.sourceFile,
    gaps: chunks.flatMap(gapOf),
    quality: [...windows.flatMap(window => window.notes), ...joins, ...input.warnings, ...silenceNote(input)].sort(
      byStart
    ),
    created_at: input.createdAt.toISOString(),
    ...(input.track && input.track.of > 1 && { track: input.track })
  }
}

/** A finished chunk's segments, for those who watch the job. Forced cuts are not joined yet. */
export function segmentsOfChunk(chunk: ChunkResult): TranscriptSegment[] {
  return inOrder(readWindows(chunk).flatMap(window => window.segments))
}

function readWindows({ index, startSample, windows, output }: ChunkResult): HeardWindow[] {
  return (output?.windows ?? []).flatMap((heard, place) => {
    const window = windows[place]
    if (!window) return []
    const start = (startSample + window.start) / SAMPLE_RATE
    // A time outside of the window cannot be right, and would move all that follow. Workers round to a ms.
    const longest = (window.end - window.start) / SAMPLE_RATE + 0.001
    const inside = (seconds: number) => toMs(start + Math.min(longest, Math.max(0, seconds)))
    const move = <T extends { start: number; end: number }>(part: T): T => ({
      ...part,
      start: inside(part.start),
      end: inside(part.end)
    })
    return {
      start,
      end: (startSample + window.end) / SAMPLE_RATE,
      overlap: window.overlap / SAMPLE_RATE,
      language: heard.language,
      languageProbability: heard.language_probability,
      notes: heard.quality.map(move),
      segments: heard.segments.map(segment => ({
        ...move(segment),
        words: segment.words.map(move),
        chunk: index
      }))
    }
  })
}

function joinForcedCuts(windows: HeardWindow[]): TranscriptNote[] {
  const notes: TranscriptNote[] = []
  for (const [index, right] of windows.entries()) {
    const left = windows[index - 1]
    // The window before may be missing, with the chunk it was in: then all of this one's words are kept.
    if (!left || right.overlap === 0 || left.end <= right.start) continue
    const region = { start: toMs(right.start), end: toMs(left.end) }
    const joined = joinOverlap(left.segments, right.segments, region)
    left.segments = joined.left
    right.segments = joined.right
    notes.push({ kind: 'overlap-joined', ...region, detail: joined.detail })
  }
  return notes
}

/**
 * Times never fall, and no segment begins before the one before it has ended: each window was timed apart, the two
 * decodings of a forced cut differ, and a worker may answer anything. What is in order stays as it is.
 */
function inOrder(segments: readonly TranscriptSegment[]): TranscriptSegment[] {
  let last = 0
  const place = <T extends { start: number; end: number }>(part: T): T => {
    const start = Math.max(part.start, last)
    last = Math.max(part.end, start)
    return start === part.start && last === part.end ? part : { ...part, start, end: last }
  }
  return segments.map(segment => {
    const words = segment.words.map(place)
    const [first, final] = [words[0], words.at(-1)]
    return first && final ? { ...segment, words, start: first.start, end: final.end } : place(segment)
  })
}

/** Whisper's texts bring their own spaces; one is added only where a text of a language with spaces came without. */
export function joinTexts(texts: readonly string[]): string {
  const parts: string[] = []
  /** Looking at all that was joined so far would take the square of its length. */
  let last = ''
  for (const text of texts) {
    if (isGlued(last, text)) parts.push(' ')
    parts.push(text)
    last = text.at(-1) ?? last
  }
  return parts.join('').trim()
}

const WITHOUT_SPACES = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Mymr}\p{sc=Tibt}]/u

/** `last`: the character before, empty: there is none. */
function isGlued(last: string, text: string): boolean {
  const first = /^[\p{L}\p{N}]/u.exec(text)?.[0]
  return first !== undefined && /\S/.test(last) && !WITHOUT_SPACES.test(first)
}

function languagesOf(windows: readonly HeardWindow[]): Transcript['languages'] {
  const heard = new Map<string, { seconds: number; weighted: number }>()
  for (const { language, languageProbability, start, end, overlap } of windows) {
    const sum = heard.get(language) ?? { seconds: 0, weighted: 0 }
    const seconds = end - start - overlap
    heard.set(language, { seconds: sum.seconds + seconds, weighted: sum.weighted + seconds * languageProbability })
  }
  return [...heard]
    .map(([language, { seconds, weighted }]) => ({
      language,
      probability: Math.round((weighted / seconds) * 10_000) / 10_000,
      duration_seconds: toMs(seconds)
    }))
    .sort((a, b) => b.duration_seconds - a.duration_seconds)
}

function gapOf({ startSample, endSample, output, error }: ChunkResult): Gap[] {
  if (output || !error) return []
  return [{ start: toMs(startSample / SAMPLE_RATE), end: toMs(endSample / SAMPLE_RATE), error }]
}

/** Of a recording in which nobody speaks no model was asked, and none was chosen. */
function silenceNote({ windows, durationSeconds }: MergeInput): TranscriptNote[] {
  if (windows > 0) return []
  const detail = 'no speech was found in the recording, so no model was used'
  return [{ kind: 'no-speech', start: 0, end: toMs(durationSeconds), detail }]
}

function byStart(a: TranscriptNote, b: TranscriptNote): number {
  return a.start - b.start
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
