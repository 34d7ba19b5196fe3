import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { changedByJson } from '../src/plain-json.ts'

const said = (value: unknown) => changedByJson({ it: value }, 'output')

test('what JSON keeps is taken, also boxed, with a toJSON, of a class and of another context', () => {
  class Money {
    readonly currency = 'EUR'
  }
  const fine = [
    null,
    'é',
    1.5,
    true,
    [],
    {},
    new Date(0),
    new URL('http://x/'),
    new Money(),
    new Number(1),
    new String('s')
  ]
  for (const value of [...fine, Object.create(null), runInNewContext('({ a: {}, b: [] })')])
    expect(said(value)).toBe(null)
  const twice = { a: 1 }
  expect(said([twice, twice])).toBe(null)
})

test('what JSON would make an empty object or null of is named with its path', () => {
  class Secret {
    readonly #cents = 5
    get cents() {
      return this.#cents
    }
  }
  const lost: Array<[unknown, string]> = [
    [new RangeError('boom'), 'JSON has no RangeError: use its message'],
    [/a/, 'JSON has no RegExp without fields of its own: answer what is in it'],
    [new ArrayBuffer(2), 'JSON has no ArrayBuffer: use Array.from on a view of it'],
    [new Uint8Array(2), 'JSON has no Uint8Array: use Array.from'],
    [new Set(), 'JSON has no Set: use Array.from'],
    [new Map(), 'JSON has no Map: use Object.fromEntries'],
    [new Map().values(), 'JSON has no Iterator: use Array.from'],
    [new URLSearchParams('a=1'), 'JSON has no URLSearchParams: use Array.from'],
    [new WeakSet(), 'JSON has no WeakSet without fields of its own: answer what is in it'],
    [new Secret(), 'JSON has no Secret without fields of its own: answer what is in it'],
    [Promise.resolve(), 'JSON has no Promise: await it'],
    [new Date(Number.NaN), 'the Date is none, and would be null'],
    [new Number(Number.NaN), 'NaN is no number of JSON'],
    ['a\0', 'text with a NUL character cannot be stored'],
    [{ 'a\0': 1 }, 'text with a NUL character cannot be stored'],
    [{ '\ud800': 1 }, 'half of a surrogate pair is no text']
  ]
  for (const [value, why] of lost) expect(said(value)).toBe(`output.it: ${why}`)
  expect(said(function* () {}.call(undefined))).toMatch(/^output\.it: JSON has no .+: use Array\.from$/)
})

test('a circle, and what is nested too deeply, are named, and do not run out of stack', () => {
  const circle: Record<string, unknown> = {}
  circle.list = [circle]
  expect(said(circle)).toBe('output.it.list.0: is what it lies in itself, and JSON has no circles')
  let deep: unknown = {}
  for (let level = 0; level < 20_000; level++) deep = { deep }
  expect(said(deep)).toMatch(/…: is nested in more than 1000 levels$/)
})
