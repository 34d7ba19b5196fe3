import { expect, it } from 'vitest'
import { MOST_ATTEMPTS, pauseSecondsAfter } from '../../src/webhooks/back-off.ts'

it('pauses double from 5 s to an hour, and the last attempt is a day after the first', () => {
  const pauses = Array.from({ length: MOST_ATTEMPTS }, (_, at) => pauseSecondsAfter(at + 1))
  expect(pauses.slice(0, 4)).toEqual([5, 10, 20, 40])
  expect(pauses.slice(-2)).toEqual([3_600, null])
  const total = pauses.reduce<number>((sum, seconds) => sum + (seconds ?? 0), 0)
  expect(total / 3_600).toBeGreaterThanOrEqual(24)
  expect(total / 3_600).toBeLessThan(25)
})

it('a receiver may ask for a longer pause, up to an hour', () => {
  expect([1, 60, 86_400].map(asked => pauseSecondsAfter(1, asked))).toEqual([5, 60, 3_600])
  expect(pauseSecondsAfter(MOST_ATTEMPTS, 60)).toBe(null)
})
