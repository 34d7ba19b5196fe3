import type { Window } from '@sc/shared/transcription.ts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Chunk, createChunkPacker, moveWindow } from '../../src/transcription/chunks.ts'

const SECOND = 16_000

/** Windows in order, some forced, some after a long silence. */
const windows = fc
  .array(
    fc.record({
      pause: fc.oneof(fc.integer({ min: 0, max: 2 * SECOND }), fc.integer({ min: 0, max: 900 * SECOND })),
      length: fc.integer({ min: 6 * SECOND, max: 30 * SECOND }),
      forced: fc.boolean()
    }),
    { maxLength: 40 }
  )
  .map(parts => {
    let end = 0
    return parts.map(({ pause, length, forced }, index): Window => {
      const overlap = forced && index > 0 ? 5 * SECOND : 0
      const start = overlap ? end - overlap : end + pause
      end = start + length
      return { start, end, speech: [[start, end]], overlap }
    })
  })

/** As the plan does it: windows in parts, each time with where the next one begins. */
function pack(all: Window[], chunkSeconds: number, partLength: number): Chunk[] {
  const packer = createChunkPacker(chunkSeconds)
  const chunks: Chunk[] = []
  for (let from = 0; from < all.length; from += partLength) {
    const next = all[from + partLength]
    chunks.push(...packer.push(all.slice(from, from + partLength), next?.start ?? 0))
    const needed = packer.neededFrom()
    if (needed !== null && next) expect(next.start - needed).toBeLessThanOrEqual(chunkSeconds * SECOND)
  }
  return [...chunks, ...packer.end()]
}

test('chunks are all windows, whole and in order, within their length', () => {
  fc.assert(
    fc.property(
      windows,
      fc.integer({ min: 30, max: 600 }),
      fc.integer({ min: 1, max: 9 }),
      (all, chunkSeconds, partLength) => {
        const chunks = pack(all, chunkSeconds, partLength)
        expect(chunks.flatMap(chunk => chunk.windows.map(window => moveWindow(window, chunk.startSample)))).toEqual(all)
        expect(chunks.map(chunk => chunk.index)).toEqual(chunks.map((_, index) => index))
        for (const { startSample, endSample, windows } of chunks) {
          expect(windows[0]?.start).toBe(0)
          expect(Math.max(...windows.map(window => window.end))).toBe(endSample - startSample)
          expect(endSample - startSample).toBeLessThanOrEqual(chunkSeconds * SECOND)
        }
      }
    )
  )
})

test('the first chunks are short, and each may be twice as long as the one before', () => {
  const all = Array.from({ length: 200 }, (_, at): Window => {
    const start = at * 5 * SECOND
    return { start, end: start + 5 * SECOND, speech: [], overlap: 0 }
  })
  const lengths = (chunkSeconds: number) =>
    pack(all, chunkSeconds, 1).map(({ startSample, endSample }) => (endSample - startSample) / SECOND)
  expect(lengths(150).slice(0, 5)).toEqual([15, 30, 60, 120, 150])
  expect(lengths(600)).toEqual([15, 30, 60, 120, 240, 480, 55])
  expect(lengths(30).slice(0, 2)).toEqual([15, 30])
})

test('chunks do not depend on when the windows become known', () => {
  fc.assert(
    fc.property(windows, fc.integer({ min: 1, max: 9 }), (all, partLength) => {
      expect(pack(all, 150, partLength)).toEqual(pack(all, 150, 1000))
    })
  )
})
