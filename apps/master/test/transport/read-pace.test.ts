import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createCommonPace, createReadPace, readsNow } from '../../src/transport/read-pace.ts'

const MEGABYTE = 1024 ** 2

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

function createWorkers(...names: string[]) {
  const common = createCommonPace()
  const all = names.map(name => ({ name, pace: createReadPace(common) }))
  return {
    common,
    all,
    next: (most = 8) => {
      const { now, entries } = readsNow(
        all.filter(({ pace }) => pace.isOpen()),
        common,
        most
      )
      for (const { pace } of now) pace.asked()
      return { now, names: now.map(({ name }) => name), entries }
    }
  }
}

test('workers that write without end are read at 8 MB a second together, and in turn', () => {
  const { all, next } = createWorkers('a', 'b', 'c', 'd')
  for (const { pace } of all) pace.read([], 1, MEGABYTE)
  vi.advanceTimersByTime(2_000)
  const reads = new Map<string, number>()
  for (let ms = 0; ms < 10_000; ms += 10) {
    for (const { name, pace } of next().now) {
      pace.read([], 1, MEGABYTE)
      reads.set(name, (reads.get(name) ?? 0) + 1)
    }
    vi.advanceTimersByTime(10)
  }
  const counts = [...reads.values()]
  expect(counts).toHaveLength(4)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(70)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeLessThan(90)
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
})

test('who writes little is read at once, whatever is read of others', () => {
  const { all, common, next } = createWorkers('greedy', 'quiet')
  const [greedy, quiet] = all
  greedy?.pace.read([], 8, 7 * MEGABYTE)
  expect(common.left()).toBeLessThan(0)
  for (let n = 0; n < 20; n++) {
    expect(next().names).toContain('quiet')
    quiet?.pace.read([], 8, 10_000)
    vi.advanceTimersByTime(50)
  }
  // It counts as one of those again once it has written little for long.
  vi.advanceTimersByTime(40_000)
  expect(greedy?.pace.isBusy()).toBe(false)
})

test('busy workers of small entries are read together, many entries at once; large ones come one by one', () => {
  const { all, next } = createWorkers('a', 'b', 'c')
  for (let n = 0; n < 20; n++) for (const { pace } of all) pace.read([], 8, 40_000)
  vi.advanceTimersByTime(500)
  expect(all.every(({ pace }) => pace.isBusy())).toBe(true)
  expect(next()).toMatchObject({ names: ['a', 'b', 'c'], entries: 8 })
  all[0]?.pace.read([], 1, MEGABYTE)
  vi.advanceTimersByTime(500)
  expect(next().entries).toBe(1)
})

test('one that cost far more than it may holds up the other busy ones no longer than a second', () => {
  const { all, common } = createWorkers('a', 'b')
  for (const { pace } of all) pace.read([], 8, 60 * MEGABYTE)
  vi.advanceTimersByTime(1_001)
  expect(common.left()).toBeGreaterThan(0)
})
