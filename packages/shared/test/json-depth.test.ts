import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findDeeperThan, measureJson, writtenLength } from '../src/json-depth.ts'

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

test('the depth of JSON text is that of its value, whatever its strings hold', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.nat(7), (value, most) => {
      expect(findDeeperThan(JSON.stringify(value), most) >= 0).toBe(depthOf(value) > most)
    })
  )
  for (const text of ['"[[["', '"\\"[[["', '"\\\\"', '["\\\\\\"[["]', '{"[[":"{{"}', '"[[[', '"\\'])
    expect(findDeeperThan(text, 1), text).toBe(-1)
  expect(findDeeperThan('["\\\\",[[', 2)).toBe(7)
  expect(findDeeperThan('['.repeat(150_000), 100)).toBe(100)
})

test('objects, lists, values and different beginnings of objects are counted, and those in strings are not', () => {
  const values = 1 + 2 + 4
  expect(measureJson('[{"a":[]},"[{,\\":",{}]', 10)).toEqual({ isDeeper: false, lists: 4, values, shapes: 1 })
  expect(measureJson('[[[]]]', 2)).toMatchObject({ isDeeper: true, lists: 3 })
  expect(measureJson('[0, 0,0]', 2)).toMatchObject({ lists: 1, values: 4, shapes: 0 })
  expect(measureJson('[{"a":0,"b\\"" : 1},{"a":"c","b\\"":2}]', 2)).toMatchObject({ shapes: 2 })
  // `a`, `b` after it, `b`, `a` after it; a name that goes on another does not count for both.
  expect(measureJson('[{"a":{"a":0},"b":0},{"b":0,"a":0}]', 3)).toMatchObject({ shapes: 4 })
  expect(measureJson('[{"ab":0},{"a":0,"b":0}]', 2)).toMatchObject({ shapes: 3 })
})

test('all values of JSON text are counted, and all different beginnings of its objects', () => {
  const count = (value: unknown): number =>
    1 +
    (typeof value === 'object' && value !== null
      ? Object.values(value).reduce<number>((sum, one) => sum + count(one), 0)
      : 0)
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), value => {
      const beginnings = new Set<string>()
      const text = JSON.stringify(value, (_, one) => {
        if (typeof one === 'object' && one !== null && !Array.isArray(one))
          for (const at of Object.keys(one).keys()) beginnings.add(JSON.stringify(Object.keys(one).slice(0, at + 1)))
        return one
      })
      const measure = measureJson(text, 10)
      expect(measure.values).toBeGreaterThanOrEqual(count(value))
      expect(measure.shapes).toBe(beginnings.size)
    })
  )
})

test('written without exponents JSON is longer by their powers of ten, and what is in strings is not', () => {
  expect(writtenLength('{"a":12.5,"true":true}')).toBe(22)
  expect(writtenLength(JSON.stringify([1e300, 1.5e-9]))).toBe('[1e+300,1.5e-9]'.length + 300 + 9)
  const text = JSON.stringify({ '1e+300': 'see 1e+300, \\"1e-9' })
  expect(writtenLength(text)).toBe(text.length)
})
