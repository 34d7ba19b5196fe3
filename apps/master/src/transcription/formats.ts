import { languageNameOf } from './languages.ts'
import type { Transcript, TranscriptSegment } from './merge.ts'

/** A transcript as users of OpenAI's API and of the whisper command line know it. */
export const RESULT_FORMATS = ['json', 'text', 'srt', 'vtt', 'tsv', 'verbose_json'] as const
export type ResultFormat = (typeof RESULT_FORMATS)[number]

export interface RenderedTranscript {
  readonly contentType: string
  readonly body: string
}

/** What a transcript's words are: those that were said, or English ones. */
export type TranscriptTask = 'transcribe' | 'translate'

/** `json` is `transcription.json` itself. */
export function renderTranscript(
  transcript: Transcript,
  format: ResultFormat,
  task: TranscriptTask = 'transcribe'
): RenderedTranscript {
  switch (format) {
    case 'json':
      return { contentType: JSON_TYPE, body: JSON.stringify(transcript) }
    case 'verbose_json':
      return { contentType: JSON_TYPE, body: JSON.stringify(toVerbose(transcript, task)) }
    case 'text':
      return { contentType: 'text/plain; charset=utf-8', body: `${transcript.transcription}\n` }
    case 'srt':
      return { contentType: 'application/x-subrip; charset=utf-8', body: toSrt(transcript.segments) }
    case 'vtt':
      return { contentType: 'text/vtt; charset=utf-8', body: toVtt(transcript.segments) }
    case 'tsv':
      return { contentType: 'text/tab-separated-values; charset=utf-8', body: toTsv(transcript.segments) }
  }
}

const JSON_TYPE = 'application/json; charset=utf-8'

function toSrt(segments: readonly TranscriptSegment[]): string {
  return segments
    .map(({ start, end, text }, index) => `${index + 1}\n${cueTimes(start, end, ',', true)}\n${cueText(text)}\n\n`)
    .join('')
}

function toVtt(segments: readonly TranscriptSegment[]): string {
  const cues = segments.map(({ start, end, text }) => `${cueTimes(start, end, '.', false)}\n${escapeTags(text)}\n\n`)
  return `WEBVTT\n\n${cues.join('')}`
}

/** Milliseconds, as the whisper command line writes them. */
function toTsv(segments: readonly TranscriptSegment[]): string {
  const rows = segments.map(({ start, end, text }) => `${toMs(start)}\t${toMs(end)}\t${oneLine(text)}\n`)
  return `start\tend\ttext\n${rows.join('')}`
}

/** What `response_format=verbose_json` answers at OpenAI. Tokens are not kept. */
function toVerbose({ transcription, segments, languages, duration_seconds }: Transcript, task: TranscriptTask) {
  const words = segments.flatMap(segment => segment.words)
  return {
    task,
    language: languageNameOf(languages[0]?.language ?? '').toLowerCase(),
    duration: duration_seconds,
    text: transcription,
    segments: segments.map((segment, id) => ({
      id,
      seek: Math.round(segment.start * 100),
      start: segment.start,
      end: segment.end,
      text: segment.text,
      tokens: [],
      temperature: segment.temperature,
      avg_logprob: segment.avg_logprob,
      compression_ratio: segment.compression_ratio,
      no_speech_prob: segment.no_speech_prob
    })),
    words: words.map(({ word, start, end }) => ({ word: word.trim(), start, end }))
  }
}

function cueTimes(start: number, end: number, mark: string, withHours: boolean): string {
  return `${clock(start, mark, withHours)} --> ${clock(end, mark, withHours)}`
}

/** The whisper command line leaves the hours out of vtt until there are some. */
function clock(seconds: number, mark: string, withHours: boolean): string {
  const ms = toMs(seconds)
  const hours = Math.floor(ms / 3_600_000)
  const fields = [Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60]
  if (withHours || hours > 0) fields.unshift(hours)
  const digits = (value: number, count: number) => String(value).padStart(count, '0')
  return `${fields.map(value => digits(value, 2)).join(':')}${mark}${digits(ms % 1000, 3)}`
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1000)
}

/** An empty line would end a cue, a tab a column. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim()
}

/** An arrow in the text would be read as the times of a cue. */
function cueText(text: string): string {
  return oneLine(text).replaceAll('-->', '->')
}

function escapeTags(text: string): string {
  return oneLine(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
