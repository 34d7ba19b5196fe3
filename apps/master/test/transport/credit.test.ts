import { expect, test } from 'vitest'
import { createCredit } from '../../src/transport/credit.ts'

test('who begins what it is given is given more', () => {
  const credit = createCredit()
  const first = credit.left(0, 0)
  expect(first).toBeGreaterThan(1)
  expect([credit.left(first, 0), credit.isProven]).toEqual([0, false])
  for (let n = 0; n < 10; n++) credit.begun()
  expect([credit.left(0, 0), credit.isProven]).toEqual([first + 10, true])
  for (let n = 0; n < 1_000; n++) credit.begun()
  expect(credit.left(0, 0)).toBeLessThan(100)
})

test('who begins nothing gets one at a time, after ever longer pauses', () => {
  const credit = createCredit()
  let nowMs = 0
  let given = 0
  while (nowMs < 600_000) {
    const left = credit.left(0, nowMs)
    given += left
    for (let n = 0; n < left; n++) credit.spent(nowMs)
    nowMs += 100
  }
  expect(given).toBeLessThan(22)
  credit.begun()
  expect(credit.left(0, nowMs + 60_000)).toBe(2)
})

test('one that comes back now and then costs an honest worker little', () => {
  const credit = createCredit()
  for (let n = 0; n < 200; n++) {
    for (let begun = 0; begun < 20; begun++) credit.begun()
    credit.spent(n)
    expect(credit.left(0, n)).toBeGreaterThan(9)
  }
})

test('who begins what it is given and gives it back gets ever less, unless it ends as much', () => {
  /** How many come back in ten minutes, with so many others that are ended for each. */
  function bounced(endedForEach: number): number {
    const credit = createCredit()
    let count = 0
    for (let nowMs = 0; nowMs < 600_000; nowMs += 10) {
      if (credit.left(0, nowMs) === 0) continue
      credit.begun()
      for (let n = 0; n < endedForEach; n++) {
        credit.begun()
        credit.ended()
      }
      credit.spent(nowMs)
      count++
    }
    expect(credit.isProven).toBe(false)
    return count
  }
  expect(bounced(0)).toBeLessThan(22)
  expect(bounced(2)).toBeGreaterThan(10_000)
})

test('a worker that stopped with many units makes up for them by its next ones', () => {
  const credit = createCredit()
  for (let n = 0; n < 300; n++) credit.begun()
  for (let n = 0; n < 300; n++) credit.spent(1_000)
  expect([credit.left(0, 1_000), credit.left(0, 1_500), credit.isProven]).toEqual([0, 1, false])
  for (let n = 0; n < 64; n++) {
    credit.begun()
    credit.ended()
  }
  expect([credit.left(0, 1_500), credit.isProven]).toEqual([64, true])
})
