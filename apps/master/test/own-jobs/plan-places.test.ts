import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { createPlanPlaces, type PlanPlaces } from '../../src/own-jobs/plan-places.ts'

const never = new AbortController().signal

/** Who has a place, in the order in which they got it; `leave` gives the first one back. */
function watch(places: PlanPlaces) {
  const got: string[] = []
  const leaves: Array<() => void> = []
  return {
    got,
    ask: (keyId: string, signal = never): Promise<void> =>
      places.take(keyId, signal).then(leave => {
        got.push(keyId)
        leaves.push(leave)
      }),
    leave: async (): Promise<void> => {
      leaves.shift()?.()
      await setImmediate()
    }
  }
}

it('plans of one key have some of the places, and others the rest', async () => {
  const { got, ask, leave } = watch(createPlanPlaces({ most: 3, ofKey: 2 }))
  for (const keyId of ['a', 'a', 'a', 'b', 'c']) void ask(keyId)
  await setImmediate()
  expect(got).toEqual(['a', 'a', 'b'])
  await leave()
  // It has none yet.
  expect(got).toEqual(['a', 'a', 'b', 'c'])
  await leave()
  expect(got).toEqual(['a', 'a', 'b', 'c', 'a'])
})

it('a plan that is stopped while it waits takes no place', async () => {
  const { got, ask, leave } = watch(createPlanPlaces({ most: 1, ofKey: 1 }))
  await ask('a')
  const stop = new AbortController()
  const stopped = ask('b', stop.signal)
  const next = ask('c')
  stop.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  await leave()
  await next
  expect(got).toEqual(['a', 'c'])
})
