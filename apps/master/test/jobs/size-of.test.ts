import { expect, test } from 'vitest'
import { sizeOf } from '../../src/jobs/size-of.ts'

test('a size goes by characters and by values, up to the most that matters', () => {
  expect(sizeOf('x'.repeat(500), 1_000)).toBe(510)
  expect(sizeOf(null, 1_000)).toBe(10)
  expect(sizeOf([1, 2, [true]], 1_000)).toBe(50)
  expect(sizeOf({ name: 'x', list: [1] }, 1_000)).toBe(10 + 4 + 11 + 4 + 20)
  const counted = sizeOf(
    Array.from({ length: 1_000_000 }, () => 1),
    5_000
  )
  expect(counted).toBe(5_000)
})
