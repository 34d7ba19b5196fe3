import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bandOf, queuePriority } from '../../src/queues/queue-order.ts'

const priority = fc.integer({ min: 0, max: 100 })
const rank = fc.double({ min: 0, max: 1e12, noNaN: true })

it('is a whole number that BullMQ takes, and more than 0, which would not be ordered', () => {
  fc.assert(
    fc.property(priority, rank, (p, r) => {
      const number = queuePriority(p, r)
      expect(Number.isSafeInteger(number)).toBe(true)
      expect(number).toBeGreaterThan(0)
      expect(number).toBeLessThan(2 ** 21)
    })
  )
})

it('puts the higher priority first whatever the ranks, and tells it back as a band', () => {
  fc.assert(
    fc.property(priority, priority, rank, rank, (p, q, r, s) => {
      expect(bandOf(queuePriority(p, r))).toBe(100 - p)
      if (p > q) expect(queuePriority(p, r)).toBeLessThan(queuePriority(q, s))
    })
  )
})

it('puts the lower rank first within a priority', () => {
  expect(queuePriority(50, 0)).toBe(1_000_001)
  expect(queuePriority(50, 7.9)).toBe(1_000_008)
  expect(queuePriority(50, 19_999)).toBe(1_020_000)
  expect(queuePriority(100, 20_003)).toBe(queuePriority(100, 3))
})

it('counts a unit without a priority to the first band', () => {
  expect(bandOf(0)).toBe(0)
})
