import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createBehind } from '../../src/transport/behind.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

test('who is behind again and again is not waited for, though each time is short', () => {
  const behind = createBehind()
  const pass = (ms: number, waited: boolean): void => {
    vi.advanceTimersByTime(ms)
    behind.age(waited)
  }
  pass(26_000, true)
  expect(behind.isTooLong()).toBe(false)
  pass(1_000, false)
  pass(26_000, true)
  expect(behind.isTooLong()).toBe(true)
  pass(600_000, false)
  expect(behind.isTooLong()).toBe(false)
})

test('time that is nobody’s fault does not count', () => {
  const behind = createBehind()
  vi.advanceTimersByTime(600_000)
  behind.skip()
  behind.age(true)
  expect(behind.isTooLong()).toBe(false)
})
