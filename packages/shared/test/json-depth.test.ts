import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isDeeperThan, measureJson } from '../src/json-depth.ts'

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

test('the depth of JSON text is that of its value, whatever its strings hold', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.nat(7), (value, most) => {
      expect(isDeeperThan(JSON.stringify(value), most)).toBe(depthOf(value) > most)
    })
  )
  for (const text of ['"[[["', '"\\"[[["', '"\\\\"', '["\\\\\\"[["]', '{"[[":"{{"}', '"[[[', '"\\'])
    expect(isDeeperThan(text, 1), text).toBe(false)
  expect(isDeeperThan('["\\\\",[[', 2)).toBe(true)
  expect(isDeeperThan('['.repeat(150_000), 100)).toBe(true)
})

test('objects and lists are counted, and those in strings are not', () => {
  expect(measureJson('[{"a":[]},"[{",{}]', 10)).toEqual({ isDeeper: false, lists: 4 })
  expect(measureJson('[[[]]]', 2)).toEqual({ isDeeper: true, lists: 3 })
})
