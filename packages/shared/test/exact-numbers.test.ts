import { describe, expect, it } from 'vitest'
import { describeInexact, findInexactNumber } from '../src/exact-numbers.ts'

describe('numbers of JSON text that JavaScript would change', () => {
  it.each([
    ['9007199254740993', '9007199254740993'],
    ['-9223372036854775809', '-9223372036854775809'],
    ['1e400', '1e400'],
    ['-1E+999', '-1E+999'],
    ['1e-400', '1e-400'],
    [`1${'0'.repeat(400)}`, `1${'0'.repeat(39)}`],
    ['1000000000000000000000000', '1000000000000000000000000']
  ])('are found: %s', (text, number) => {
    expect(findInexactNumber(text)).toEqual({ path: '', number })
  })

  it.each([
    '0',
    '-0',
    '9007199254740991',
    '9007199254740992',
    '-9007199254740991',
    '0.1',
    '3.14159265358979323846264338327950288',
    '1e300',
    '1e-300',
    '0e400',
    '0.000000000000000000000000000000',
    '"9007199254740993"',
    String.raw`{"a\"9007199254740993":"\\","b":1}`,
    JSON.stringify([2 ** 53, 2 ** 60, 2 ** 63, 1e20, 123456789012345680000, 1e21, Number.MAX_VALUE, 5e-324])
  ])('are none where it keeps the value: %s', text => {
    expect(findInexactNumber(text)).toBeNull()
  })

  it('are named by their path', () => {
    const text = String.raw`{"list":[1,[2,{"a,:\"]}":3}],{"x":{},"né\"":[[],9007199254740993]}]}`
    expect(findInexactNumber(text)).toEqual({ path: 'list.2.né".1', number: '9007199254740993' })
    expect(describeInexact({ path: 'input.n', number: '1e400' })).toBe(
      'input.n: 1e400 is no number that is kept exactly; send it as text'
    )
  })

  it('are exactly those whose value differs, whatever the number', () => {
    let seed = 7
    const next = (below: number): number => {
      seed = (seed * 48271) % 2147483647
      return seed % below
    }
    for (let n = 0; n < 20_000; n++) {
      const digits = Array.from({ length: 1 + next(24) }, () => next(10)).join('')
      const text = BigInt(digits).toString()
      const isKept = JSON.stringify(JSON.parse(text)) === text
      expect([text, findInexactNumber(text) === null]).toEqual([text, isKept])
    }
  })
})
