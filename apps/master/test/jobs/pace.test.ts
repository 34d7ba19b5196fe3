import { expect, test } from 'vitest'
import { createPace, type Pace } from '../../src/jobs/pace.ts'

function finish(pace: Pace, task: string, ranMs: number, times = 20): void {
  for (let n = 0; n < times; n++) pace.finished({ task, queue: 'cpu' }, ranMs)
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

test('counts what was finished in the last second', () => {
  const pace = createPace()
  finish(pace, 'noop', 0, 7)
  expect(pace.recentOf('cpu')).toBe(7)
  expect(pace.recentOf('gpu')).toBe(0)
})
