import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { KEPT_MS, keepLarge, LARGE } from '../../src/database/keep-large.ts'

test('what is small is counted for each who asks', async () => {
  let size = 0
  const read = keepLarge(
    async () => ++size,
    () => LARGE
  )
  expect([await read(), await read()]).toEqual([1, 2])
  expect(await Promise.all([read(), read()])).toEqual([3, 4])
})

test('what is large is counted once for all who ask together, and again when that is old', async () => {
  let counts = 0
  const read = keepLarge(
    async () => {
      await sleep(20)
      return ++counts
    },
    () => LARGE + 1
  )
  await read()
  expect(await Promise.all([read(), read()])).toEqual([1, 1])
  // A timer may end a millisecond early.
  await sleep(KEPT_MS + 50)
  expect(await Promise.all([read(), read(), read()])).toEqual([2, 2, 2])
})

test('a failure is not kept', async () => {
  let fails = false
  const read = keepLarge(
    async () => {
      if (fails) throw new Error('away')
      return LARGE + 1
    },
    size => size
  )
  await read()
  // A timer may end a millisecond early.
  await sleep(KEPT_MS + 50)
  fails = true
  await expect(Promise.all([read(), read()])).rejects.toThrow('away')
  fails = false
  expect(await read()).toBe(LARGE + 1)
})
