import { expect, test } from 'vitest'
import { createGate } from '../../src/submit/gate.ts'

test('never more than its width at once, in order, and a failure frees its place', async () => {
  const gate = createGate(3)
  const [order, running] = [[] as number[], { now: 0, most: 0 }]
  const runs = Array.from({ length: 20 }, (_, index) =>
    gate(async () => {
      running.now++
      running.most = Math.max(running.most, running.now)
      order.push(index)
      await new Promise(setImmediate)
      running.now--
      if (index % 4 === 0) throw new Error('failed')
    })
  )
  const settled = await Promise.allSettled(runs)
  expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(5)
  expect(running.most).toBe(3)
  expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index))
})
