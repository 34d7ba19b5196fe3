import { describe, expect, test } from 'vitest'
import { renderTranscript } from '../../src/transcription/formats.ts'
import type { Transcript, TranscriptSegment } from '../../src/transcription/merge.ts'

const segment = (start: number, end: number, text: string): TranscriptSegment => ({
  start,
  end,
  text,
  words: [{ word: text, start, end, probability: 0.9 }],
  avg_logprob: -0.2,
  no_speech_prob: 0.01,
  compression_ratio: 1.1,
  temperature: 0,
  chunk: 0
})

const transcript: Transcript = {
  transcription: 'A <b> & c --> d tab. Late.',
  segments: [segment(0, 2.5, ' A <b> & c --> d\ttab.\n\n'), segment(3661.0454, 3662, ' Late.')],
  languages: [{ language: 'de', probability: 0.9, duration_seconds: 30 }],
  model: 'base',
  chunking: { chunk_seconds: 150, chunks: 1, windows: 2 },
  duration_seconds: 3700.5,
  word_count: 2,
  job_id: 'j',
  source_file: 's.mp3',
  gaps: [],
  quality: [],
  created_at: '2026-01-01T00:00:00.000Z'
}
const silence: Transcript = { ...transcript, transcription: '', segments: [], languages: [] }

describe('formats', () => {
  test('srt', () => {
    expect(renderTranscript(transcript, 'srt').body).toBe(
      '1\n00:00:00,000 --> 00:00:02,500\nA <b> & c -> d tab.\n\n2\n01:01:01,045 --> 01:01:02,000\nLate.\n\n'
    )
  })

  test('vtt, where markup and arrows in the text are text', () => {
    expect(renderTranscript(transcript, 'vtt').body).toBe(
      'WEBVTT\n\n00:00.000 --> 00:02.500\nA &lt;b&gt; &amp; c --&gt; d tab.\n\n01:01:01.045 --> 01:01:02.000\nLate.\n\n'
    )
  })

  test('tsv, in ms, one row a segment', () => {
    expect(renderTranscript(transcript, 'tsv').body).toBe(
      'start\tend\ttext\n0\t2500\tA <b> & c --> d tab.\n3661045\t3662000\tLate.\n'
    )
  })

  test('text', () => {
    expect(renderTranscript(transcript, 'text')).toEqual({
      contentType: 'text/plain; charset=utf-8',
      body: 'A <b> & c --> d tab. Late.\n'
    })
  })

  test('json is the transcript itself', () => {
    expect(JSON.parse(renderTranscript(transcript, 'json').body)).toEqual(transcript)
  })

  test('verbose_json is what OpenAI answers', () => {
    const verbose = JSON.parse(renderTranscript(transcript, 'verbose_json').body)
    expect(verbose).toMatchObject({
      task: 'transcribe',
      language: 'german',
      duration: 3700.5,
      text: transcript.transcription
    })
    expect(verbose.segments[1]).toEqual({
      id: 1,
      seek: 366105,
      start: 3661.0454,
      end: 3662,
      text: ' Late.',
      tokens: [],
      temperature: 0,
      avg_logprob: -0.2,
      compression_ratio: 1.1,
      no_speech_prob: 0.01
    })
    expect(verbose.words[1]).toEqual({ word: 'Late.', start: 3661.0454, end: 3662 })
  })

  test('verbose_json says whether the words were translated', () => {
    const { body } = renderTranscript(transcript, 'verbose_json', 'translate')
    expect(JSON.parse(body)).toMatchObject({ task: 'translate', text: transcript.transcription })
  })

  test('of silence are empty, and valid', () => {
    const bodies = (['text', 'srt', 'vtt', 'tsv'] as const).map(format => renderTranscript(silence, format).body)
    expect(bodies).toEqual(['\n', '', 'WEBVTT\n\n', 'start\tend\ttext\n'])
    expect(JSON.parse(renderTranscript(silence, 'verbose_json').body)).toMatchObject({
      text: '',
      segments: [],
      words: []
    })
  })
})
