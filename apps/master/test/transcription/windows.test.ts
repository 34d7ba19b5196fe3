import type { Window } from '@sc/shared/transcription.ts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStretchFinder, type SpeechNews, type Stretch } from '../../src/transcription/speech-stretches.ts'
import { WINDOW_RULES } from '../../src/transcription/window-rules.ts'
import { createWindowCutter } from '../../src/transcription/windows.ts'

const FRAME = 512
const SECOND = 16_000

/** Mostly from the first range; the others are where rules meet: clicks, pauses of about 1 s, speech without a pause. */
const often = (usual: [number, number], ...rare: [number, number][]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: usual[0], max: usual[1] }) },
    ...rare.map(([min, max]) => ({ weight: 2, arbitrary: fc.integer({ min, max }) }))
  )

/** Probabilities of a recording: speech and pauses in turn, in frames, some of them long. */
const probabilities = fc
  .array(
    fc.record({
      speech: often([1, 400], [1, 6], [800, 3500]),
      pause: often([1, 60], [26, 33], [60, 2000]),
      level: fc.double({ min: 0.36, max: 1, noNaN: true })
    }),
    { maxLength: 30 }
  )
  .map(parts =>
    parts.flatMap(({ speech, pause, level }) => [
      ...Array.from({ length: speech }, (_, frame) => (frame % 5 === 0 ? 0.9 : level)),
      ...new Array<number>(pause).fill(0.1)
    ])
  )

/** All windows and stretches, with the news in parts of the given lengths, again and again. */
function cut(frames: number[], partLengths: number[]): { windows: Window[]; stretches: Stretch[]; samples: number } {
  const finder = createStretchFinder()
  const cutter = createWindowCutter()
  const windows: Window[] = []
  const stretches: Stretch[] = []
  const samples = Math.max(0, frames.length * FRAME - 7)
  const take = (news: SpeechNews) => {
    stretches.push(...news.closed)
    const neededFrom = cutter.neededFrom()
    const certain = cutter.push(news)
    for (const window of certain) expect(window.start).toBeGreaterThanOrEqual(neededFrom)
    windows.push(...certain)
  }
  for (let from = 0, part = 0; from < frames.length; part++) {
    const length = partLengths[part % partLengths.length] ?? 1
    take(finder.push(Float32Array.from(frames.slice(from, from + length))))
    from += length
  }
  take(finder.end(samples))
  return { windows, stretches, samples }
}

describe('windows of any recording', () => {
  test('keep the rules', () => {
    fc.assert(
      fc.property(probabilities, frames => {
        const { windows, stretches, samples } = cut(frames, [2048])
        let lastEnd = 0
        for (const window of windows) {
          expect(Number.isInteger(window.start) && Number.isInteger(window.end)).toBe(true)
          expect(window.end).toBeGreaterThan(window.start)
          expect(window.end - window.start).toBeLessThanOrEqual(WINDOW_RULES.longestWindow)
          expect(window.start).toBe(Math.max(lastEnd, window.start + window.overlap) - window.overlap)
          expect([0, WINDOW_RULES.forcedOverlap]).toContain(window.overlap)
          const more = WINDOW_RULES.edgePadding - WINDOW_RULES.padding
          const [first, last] = [window.speech[0]?.[0] ?? 0, window.speech.at(-1)?.[1] ?? 0]
          expect(first).toBeGreaterThanOrEqual(window.start)
          expect(first).toBeLessThanOrEqual(window.start + more)
          expect(last).toBeLessThanOrEqual(window.end)
          expect(last).toBeGreaterThanOrEqual(window.end - more)
          window.speech.reduce((before, [start, end]) => {
            expect(start).toBeGreaterThanOrEqual(before)
            expect(start - before).toBeLessThanOrEqual(WINDOW_RULES.longestPauseInside)
            return end
          }, window.start)
          lastEnd = window.end
        }
        expect(lastEnd).toBeLessThanOrEqual(samples)
        for (const { start, end } of stretches) expect(uncovered(start, end, windows)).toBe(0)
      }),
      { numRuns: 200 }
    )
  })

  test('do not depend on how the news arrive', () => {
    fc.assert(
      fc.property(
        probabilities,
        fc.array(often([1, 40], [1, 3], [40, 3000]), { minLength: 1, maxLength: 8 }),
        (frames, parts) => {
          expect(cut(frames, parts).windows).toEqual(cut(frames, [2048]).windows)
        }
      ),
      { numRuns: 200 }
    )
  })

  test('overlap only where there was no pause', () => {
    fc.assert(
      fc.property(probabilities, frames => {
        const { windows, stretches } = cut(frames, [2048])
        windows.forEach((window, index) => {
          if (window.overlap === 0) return
          const left = windows[index - 1] as Window
          expect(left.end - window.start).toBe(window.overlap)
          const unbroken = stretches.find(
            ({ start, end }) => start <= left.start + WINDOW_RULES.edgePadding && end > left.end
          )
          expect(unbroken).toBeDefined()
        })
      }),
      { numRuns: 200 }
    )
  })
})

describe('where a window ends', () => {
  const news = (...closed: [number, number][]): SpeechNews => ({
    closed: closed.map(([start, end]) => ({ start: start * SECOND, end: end * SECOND })),
    open: null,
    knownUntil: Number.POSITIVE_INFINITY,
    samples: 100 * SECOND
  })
  const spans = (windows: Window[]) => windows.map(({ start, end }) => [start / SECOND, end / SECOND])

  test('at the longest pause between 15 and 30 s', () => {
    const windows = createWindowCutter().push(news([1, 10], [10.65, 18], [18.6, 24], [24.3, 29], [29.5, 40]))
    expect(spans(windows)).toEqual([
      [0.7, 18.3],
      [18.3, 40.3]
    ])
  })

  test('at a pause above 0.9 s', () => {
    const windows = createWindowCutter().push(news([1, 3], [3.95, 6]))
    expect(spans(windows)).toEqual([
      [0.7, 3.3],
      [3.65, 6.3]
    ])
  })

  test('at the last pause before 15 s when the next stretch does not fit', () => {
    const windows = createWindowCutter().push(news([0, 5], [5.65, 9], [9.4, 33]))
    expect(spans(windows)).toEqual([
      [0, 9.2],
      [9.2, 33.3]
    ])
  })

  test('never after 30 s, also where the padding would', () => {
    const windows = createWindowCutter().push(news([0, 5], [5.5, 29.97], [31, 32]))
    expect(spans(windows)).toEqual([
      [0, 30],
      [30.7, 32.3]
    ])
  })

  test('after 30 s when there is none, and the next begins 5 s earlier', () => {
    const windows = createWindowCutter().push(news([2, 70]))
    expect(windows.map(window => window.overlap / SECOND)).toEqual([0, 5, 5])
    expect(spans(windows)).toEqual([
      [1.7, 31.7],
      [26.7, 56.7],
      [51.7, 70.3]
    ])
  })

  test('is known while a stretch without a pause is still going on', () => {
    const cutter = createWindowCutter()
    const open = { start: 0, end: 31 * SECOND }
    const windows = cutter.push({ closed: [], open, knownUntil: open.end, samples: null })
    expect(spans(windows)).toEqual([[0, 30]])
    expect(cutter.neededFrom()).toBe(25 * SECOND)
  })
})

describe('stretches of speech', () => {
  const found = (frames: number[]) => {
    const finder = createStretchFinder()
    return [finder.push(Float32Array.from(frames)), finder.end(frames.length * FRAME)].flatMap(news => news.closed)
  }
  const run = (count: number, level: number) => new Array<number>(count).fill(level)

  test('go on while the probability stays above the lower threshold', () => {
    expect(found([...run(10, 0), 0.9, ...run(20, 0.4), 0.9, ...run(10, 0)])).toEqual([
      { start: 10 * FRAME, end: 32 * FRAME }
    ])
  })

  test('are not split by a pause under 160 ms', () => {
    expect(found([...run(10, 0.9), ...run(4, 0), ...run(10, 0.9)])).toEqual([{ start: 0, end: 24 * FRAME }])
    expect(found([...run(10, 0.9), ...run(7, 0), ...run(10, 0.9)])).toHaveLength(2)
  })

  test('are longer than a click', () => {
    expect(found([...run(10, 0), ...run(3, 0.9), ...run(20, 0)])).toEqual([])
    expect(found([...run(10, 0), ...run(4, 0.9), ...run(20, 0)])).toHaveLength(1)
  })
})

/** Samples of [start, end) that are in no window. */
function uncovered(start: number, end: number, windows: Window[]): number {
  let from = start
  for (const window of windows) if (window.start <= from && window.end > from) from = window.end
  return Math.max(0, end - from)
}
