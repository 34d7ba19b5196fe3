import { expect, test, vi } from 'vitest'
import { createPace, type Pace } from '../../src/jobs/pace.ts'

function finish(pace: Pace, task: string, ranMs: number, times = 20, workerId = 'w-1'): void {
  for (let n = 0; n < times; n++) pace.finished({ task, queue: 'cpu' }, workerId, ranMs)
}

test('a task travels alone until enough of its units were quick', () => {
  const pace = createPace()
  finish(pace, 'noop', 0, 19)
  expect(pace.together()).toEqual({})
  finish(pace, 'noop', 0, 1)
  expect(pace.together()).toEqual({ noop: 100 })
})

test('an entry holds about 50 ms of work', () => {
  const pace = createPace()
  finish(pace, 'small', 5)
  finish(pace, 'large', 2_000)
  expect(pace.together()).toEqual({ small: 10 })
  expect(pace.togetherIn('cpu')).toBe(10)
  expect(pace.togetherIn('gpu')).toBe(1)
})

test('one long unit is enough for its task to travel alone again', () => {
  const pace = createPace()
  finish(pace, 'noop', 0, 1_000)
  finish(pace, 'noop', 10_000, 1)
  expect(pace.together()).toEqual({})
})

test('a unit that the machine held up for a moment changes nothing for the others', () => {
  const pace = createPace()
  finish(pace, 'small', 5, 64)
  finish(pace, 'small', 800, 2)
  expect(pace.together()).toEqual({ small: 10 })
  finish(pace, 'small', 800, 8)
  expect(pace.together()).toEqual({})
})

test('a worker that keeps each unit for seconds ends nothing for the others, however many it does', () => {
  const pace = createPace()
  finish(pace, 'small', 5, 64)
  finish(pace, 'small', 4_000, 1_000, 'w-2')
  expect(pace.together()).toEqual({ small: 10 })
  // Nor do several, that do less than the others.
  for (const id of ['w-3', 'w-4', 'w-5']) finish(pace, 'small', 4_000, 100, id)
  finish(pace, 'small', 5, 2_000)
  expect(pace.together()).toEqual({ small: 10 })
})

test('where most units of most workers are long they travel alone', () => {
  const pace = createPace()
  finish(pace, 'mixed', 1, 100)
  for (const id of ['w-2', 'w-3']) finish(pace, 'mixed', 500, 200, id)
  expect(pace.together()).toEqual({})
})

test('units of many workers are known to be short before each has done many', () => {
  const pace = createPace()
  for (let n = 0; n < 20; n++) finish(pace, 'small', 5, 1, `w-${n}`)
  expect(pace.together()).toEqual({ small: 10 })
})

test('a worker that has done nothing of a task for a minute says nothing of it, unless nobody has', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const pace = createPace()
    finish(pace, 'grown', 5, 100, 'gone')
    vi.advanceTimersByTime(3_600_000)
    expect(pace.together()).toEqual({ grown: 10 })
    finish(pace, 'grown', 500, 20)
    expect(pace.together()).toEqual({})
  } finally {
    vi.useRealTimers()
  }
})

test('counts what was finished in the last second', () => {
  const pace = createPace()
  finish(pace, 'noop', 0, 7)
  expect(pace.recentOf('cpu')).toBe(7)
  expect(pace.recentOf('gpu')).toBe(0)
})
