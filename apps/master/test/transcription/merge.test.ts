import type { ErrorReport } from '@sc/shared/errors.ts'
import type { DecodedWindow, Window, Word } from '@sc/shared/transcription.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createChunkPacker } from '../../src/transcription/chunks.ts'
import {
  type ChunkResult,
  joinTexts,
  type MergeInput,
  mergeTranscript,
  segmentsOfChunk
} from '../../src/transcription/merge.ts'

const SECOND = 16_000
const ERROR: ErrorReport = { code: 'SC_POISON_UNIT', title: 'The unit ended every worker that it touched', detail: 'x' }

/** A window of the recording and what was heard in it. */
interface Heard {
  window: Window
  decoded: DecodedWindow
}

/** Words at seconds of the recording, as one segment of the window [start, end) in samples. */
function heard(
  start: number,
  end: number,
  words: [string, number, number][],
  more: { overlap?: number; language?: string } = {}
): Heard {
  const timed: Word[] = words.map(([word, from, to]) => ({
    word: ` ${word}`,
    start: from - start / SECOND,
    end: to - start / SECOND,
    probability: 0.9
  }))
  const text = timed.map(({ word }) => word).join('')
  const numbers = { avg_logprob: -0.2, no_speech_prob: 0.01, compression_ratio: 1.1, temperature: 0 }
  const [first, last] = [timed[0], timed.at(-1)]
  return {
    window: { start, end, speech: [[start, end]], overlap: more.overlap ?? 0 },
    decoded: {
      language: more.language ?? 'en',
      language_probability: 0.75,
      segments: first && last ? [{ start: first.start, end: last.end, text, words: timed, ...numbers }] : [],
      quality: []
    }
  }
}

function chunked(all: Heard[], chunkSeconds: number, failed: number[] = []): ChunkResult[] {
  const packer = createChunkPacker(chunkSeconds)
  const chunks = [
    ...packer.push(
      all.map(({ window }) => window),
      0
    ),
    ...packer.end()
  ]
  const left = [...all]
  return chunks.map(chunk => {
    const windows = left.splice(0, chunk.windows.length).map(({ decoded }) => decoded)
    const output = { windows, model: 'base', device: 'cpu', compute_type: 'int8' }
    return failed.includes(chunk.index) ? { ...chunk, output: null, error: ERROR } : { ...chunk, output, error: null }
  })
}

function merge(chunks: ChunkResult[], more: Partial<MergeInput> = {}) {
  return mergeTranscript({
    jobId: 'job-1',
    sourceFile: 'talk.mp3',
    createdAt: new Date(0),
    model: 'base',
    chunkSeconds: 60,
    wordTimestamps: true,
    durationSeconds: 100.00004,
    windows: 9,
    warnings: [],
    chunks,
    ...more
  })
}

describe('a transcript', () => {
  const one = heard(1_601, 20 * SECOND, [
    ['Hello', 0.2, 0.9],
    ['there.', 1, 1.4]
  ])
  const two = heard(25 * SECOND, 40 * SECOND, [['Bye.', 26, 26.5]], { language: 'de' })

  test('has the text of all windows with times of the recording', () => {
    const document = merge(chunked([one, two], 30))
    expect(document.transcription).toBe('Hello there. Bye.')
    expect(document.segments.map(({ start, end, chunk }) => [start, end, chunk])).toEqual([
      [0.2, 1.4, 0],
      [26, 26.5, 1]
    ])
    expect(document.segments[0]?.words[1]).toEqual({ word: ' there.', start: 1, end: 1.4, probability: 0.9 })
    expect(document).toMatchObject({
      word_count: 3,
      duration_seconds: 100,
      created_at: '1970-01-01T00:00:00.000Z',
      gaps: []
    })
    expect(document.chunking).toEqual({ chunk_seconds: 60, chunks: 2, windows: 9 })
  })

  test('names its languages, the one of most of the recording first', () => {
    expect(merge(chunked([two, one], 30)).languages).toEqual([
      { language: 'en', probability: 0.75, duration_seconds: 19.9 },
      { language: 'de', probability: 0.75, duration_seconds: 15 }
    ])
  })

  test('has a gap where a chunk failed, and no hole in silence', () => {
    const document = merge(chunked([one, two], 30, [1]))
    expect(document.transcription).toBe('Hello there.')
    expect(document.gaps).toEqual([{ start: 25, end: 40, error: ERROR }])
  })

  test('leaves words out where they were not asked for, and counts them', () => {
    const document = merge(chunked([one], 30), { wordTimestamps: false })
    expect(document.segments[0]).toMatchObject({ text: ' Hello there.', words: [] })
    expect(document.word_count).toBe(2)
  })

  test('of a recording without speech is empty', () => {
    expect(merge([])).toMatchObject({
      transcription: '',
      segments: [],
      languages: [],
      word_count: 0,
      gaps: [],
      quality: []
    })
  })

  test('of a recording without speech says so', () => {
    const { quality } = merge([], { windows: 0 })
    expect(quality).toEqual([
      { kind: 'no-speech', start: 0, end: 100, detail: expect.stringMatching(/no speech .* no model/) }
    ])
  })

  test('names its track where the file has several', () => {
    expect(merge(chunked([one], 30), { track: { index: 1, of: 3 } }).track).toEqual({ index: 1, of: 3 })
    expect(merge(chunked([one], 30), { track: { index: 0, of: 1 } })).not.toHaveProperty('track')
  })

  test('has notes of windows at their place in the recording', () => {
    const noted = structuredClone(two)
    noted.decoded.quality.push({ kind: 'redecoded', start: 0.5, end: 2, detail: 'x' })
    expect(merge(chunked([one, noted], 30)).quality).toEqual([{ kind: 'redecoded', start: 25.5, end: 27, detail: 'x' }])
  })

  test('does not depend on the size of chunks, to the last digit', () => {
    const lengths = fc.array(fc.integer({ min: 999, max: 30 * SECOND }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(lengths, fc.integer({ min: 10, max: 600 }), (samples, chunkSeconds) => {
        let start = 7
        const all = samples.map((length, index) => {
          start += 5_003
          const from = start / SECOND + 0.0123
          start += length
          return heard(start - length, start, [[`word${index}`, from, from + 0.3171]])
        })
        const bare = (seconds: number) => {
          const { segments, chunking: _, ...document } = merge(chunked(all, seconds))
          return { ...document, segments: segments.map(({ chunk: _, ...segment }) => segment) }
        }
        expect(bare(chunkSeconds)).toEqual(bare(150))
      })
    )
  })

  test('has the segments that were shown while the job ran', () => {
    const chunks = chunked([one, two], 30)
    expect(chunks.flatMap(segmentsOfChunk)).toEqual(merge(chunks).segments)
  })
})

describe('a forced cut', () => {
  const [start, cut] = [0, 30 * SECOND]
  const overlap = 5 * SECOND
  const pair = (left: [string, number, number][], right: [string, number, number][]) => [
    heard(start, cut, left),
    heard(cut - overlap, 50 * SECOND, right, { overlap })
  ]
  const spoken: [string, number, number][] = [
    ['one', 20, 20.5],
    ['two', 25.2, 25.8],
    ['three', 26.5, 27],
    ['four', 27.5, 28],
    ['five', 29, 29.5],
    ['six', 31, 31.5]
  ]

  test('says every word once, though both windows heard five seconds of them', () => {
    for (const chunkSeconds of [30, 150]) {
      const document = merge(chunked(pair(spoken.slice(0, 5), spoken.slice(1)), chunkSeconds))
      expect(document.transcription).toBe('one two three four five six')
      expect(document.word_count).toBe(6)
      expect(document.quality).toEqual([expect.objectContaining({ kind: 'overlap-joined', start: 25, end: 30 })])
      expect(document.segments.map(segment => segment.end)).toEqual([28, 31.5])
    }
  })

  test('takes each side where it hears better: away from the cut', () => {
    const left = [...spoken.slice(0, 4), ['fi…', 29.2, 30] as [string, number, number]]
    const right = [['o', 25.1, 25.6] as [string, number, number], ...spoken.slice(2)]
    expect(merge(chunked(pair(left, right), 150)).transcription).toBe('one two three four five six')
  })

  test('knows a word by its letters and by its time', () => {
    const left: [string, number, number][] = [
      ['Yes,', 25.5, 25.8],
      ['yes', 27.4, 27.7]
    ]
    const right: [string, number, number][] = [
      ['yes.', 27.5, 27.8],
      ['No', 29, 29.4]
    ]
    expect(merge(chunked(pair(left, right), 150)).transcription).toBe('Yes, yes No')
  })

  test('rather has a word twice than not at all', () => {
    const left: [string, number, number][] = [
      ['alpha', 24, 25],
      ['beta', 26, 26.5]
    ]
    const right: [string, number, number][] = [
      ['better', 26, 26.8],
      ['gamma', 27, 27.5]
    ]
    const document = merge(chunked(pair(left, right), 150))
    expect(document.transcription).toBe('alpha beta better gamma')
    expect(document.quality[0]?.detail).toContain('doubled')
  })

  test('keeps all when one side heard nothing there, or is missing', () => {
    expect(merge(chunked(pair([['one', 20, 21]], spoken.slice(1)), 150)).transcription).toBe(
      'one two three four five six'
    )
    expect(merge(chunked(pair(spoken.slice(0, 5), []), 150)).transcription).toBe('one two three four five')
    expect(merge(chunked(pair(spoken.slice(0, 5), spoken.slice(1)), 30, [0])).transcription).toBe(
      'two three four five six'
    )
  })

  test('compares the words near the cut alone, however many there are', () => {
    const many = Array.from({ length: 150_000 }, (): [string, number, number] => ['x', 26, 27])
    const others = many.map(([, ...times]): [string, number, number] => ['y', ...times])
    const document = merge(chunked(pair([...many, ...spoken.slice(1, 5)], [...spoken.slice(1), ...others]), 150))
    expect(document.quality[0]?.detail).toContain('joined at "four"')
    expect(document.word_count).toBe(2 * many.length + 5)
    // Without a word that both have the left side is kept.
    expect(merge(chunked(pair(many, others), 150)).word_count).toBe(many.length)
  })

  test('never loses a word of the parts that only one window heard', () => {
    const times = fc.uniqueArray(fc.integer({ min: 0, max: 499 }), { minLength: 1, maxLength: 40 })
    const word = fc.constantFrom('a', 'b', 'c', 'd')
    const wordsAt = fc
      .tuple(times, fc.array(word, { minLength: 40, maxLength: 40 }))
      .map(([tenths, names]) =>
        tenths
          .toSorted((a, b) => a - b)
          .map((tenth, index): [string, number, number] => [names[index] ?? 'a', tenth / 10, tenth / 10 + 0.1])
      )
    fc.assert(
      fc.property(wordsAt, wordsAt, (left, right) => {
        const all = pair(
          left.filter(([, , end]) => end <= 30),
          right.filter(([, from]) => from >= 25)
        )
        const words = merge(chunked(all, 150)).segments.flatMap(segment => segment.words)
        const kept = (from: number, to: number) => words.filter(({ start, end }) => start >= from && end <= to).length
        const wanted = (list: [string, number, number][], from: number, to: number) =>
          list.filter(([, start, end]) => start >= from && end <= to).length
        expect(kept(0, 25)).toBe(wanted(left, 0, 25))
        expect(kept(30, 50)).toBe(wanted(right, 30, 50))
      })
    )
  })
})

describe('times', () => {
  /** Whatever a worker may answer: times far away, ends before starts, segments without words. */
  const seconds = fc.oneof(fc.double({ min: 0, max: 30, noNaN: true }), fc.integer({ min: -3_600, max: 3_600 }))
  const part = fc.record({ start: seconds, end: seconds })
  const segment = fc.record({ words: fc.array(part, { maxLength: 6 }), start: seconds, end: seconds })
  const window = fc.record({
    pause: fc.integer({ min: 0, max: 3 * SECOND }),
    length: fc.integer({ min: 6 * SECOND, max: 30 * SECOND }),
    forced: fc.boolean(),
    segments: fc.array(segment, { maxLength: 5 })
  })

  test('never fall and cues never overlap, whatever the windows have', () => {
    fc.assert(
      fc.property(
        fc.array(window, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 30, max: 600 }),
        (parts, chunkSeconds) => {
          let end = 0
          const all = parts.map(({ pause, length, forced, segments }, index): Heard => {
            const overlap = forced && index > 0 ? 5 * SECOND : 0
            const begin = overlap ? end - overlap : end + pause
            end = begin + length
            const empty = heard(begin, end, [], { overlap })
            const numbers = { avg_logprob: -0.2, no_speech_prob: 0.01, compression_ratio: 1.1, temperature: 0 }
            const timed = segments.map(({ words, ...times }) => ({
              ...times,
              ...numbers,
              text: ' so'.repeat(words.length),
              words: words.map(times => ({ ...times, word: ' so', probability: 0.9 }))
            }))
            return { ...empty, decoded: { ...empty.decoded, segments: timed } }
          })
          const chunks = chunked(all, chunkSeconds)
          const lists = [merge(chunks).segments, ...chunks.map(segmentsOfChunk)]
          for (const segments of lists) {
            const cues = segments.flatMap(({ start, end }) => [start, end])
            expect(cues).toEqual(cues.toSorted((a, b) => a - b))
            const times = segments.flatMap(({ words }) => words.flatMap(({ start, end }) => [start, end]))
            expect(times).toEqual(times.toSorted((a, b) => a - b))
            expect(Math.max(0, ...cues)).toBeLessThanOrEqual(end / SECOND + 0.002)
          }
        }
      )
    )
  })

  test('of a forced cut go on where the left decoding ended', () => {
    const overlap = 5 * SECOND
    const left = heard(0, 30 * SECOND, [
      ['one', 20, 20.5],
      ['two', 27, 28.4],
      ['three', 28.4, 29]
    ])
    const right = heard(
      25 * SECOND,
      50 * SECOND,
      [
        ['two', 27.2, 28],
        ['four', 28.1, 29.5]
      ],
      { overlap }
    )
    const { segments, transcription } = merge(chunked([left, right], 150))
    expect(transcription).toBe('one two four')
    expect(segments.map(({ start, end }) => [start, end])).toEqual([
      [20, 28.4],
      [28.4, 29.5]
    ])
  })
})

describe('texts joined', () => {
  test('keep their own spaces', () => {
    expect(joinTexts([' Hello', ' world.'])).toBe('Hello world.')
  })

  test('get one where a language with spaces would lose it', () => {
    expect(joinTexts(['Hello.', 'World', ', again'])).toBe('Hello. World, again')
  })

  test('are joined in time with their length', () => {
    const begunMs = performance.now()
    expect(joinTexts(Array.from({ length: 100_000 }, () => 'abcdefghij'))).toHaveLength(1_099_999)
    // Looking at all of the text for each of them takes most of a minute.
    expect(performance.now() - begunMs).toBeLessThan(5_000)
  })

  test('look back over an empty one for a space', () => {
    expect(joinTexts(['Hello', '', 'world ', '', 'again'])).toBe('Hello world again')
  })

  test('get none where the script has none', () => {
    expect(joinTexts(['こんにちは。', '世界', '안녕', ' x'])).toBe('こんにちは。世界 안녕 x')
  })
})
