import { expect, test } from 'vitest'
import { count, formatBytes, formatDuration, formatSpeed, formatTable } from '../../src/show/figures.ts'

test('durations', () => {
  expect([0, 7.4, 59.6, 760, 11_109, -3].map(formatDuration)).toEqual([
    '0:00',
    '0:07',
    '1:00',
    '12:40',
    '3:05:09',
    '0:00'
  ])
})

test('sizes', () => {
  expect([0, 999, 1000, 12_345_678, 999_960, 5e12].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '12.3 MB',
    '1.0 MB',
    '5.0 TB'
  ])
})

test('speeds', () => expect([0.84, 9.96, 14.4].map(formatSpeed)).toEqual(['0.8x', '10.0x', '14x']))

test('plurals', () => expect([count(1, 'chunk'), count(2, 'chunk')]).toEqual(['1 chunk', '2 chunks']))

test('a table has columns as wide as their widest cell and no space at the end of a line', () => {
  expect(formatTable(['A', 'LONG'], [['wide cell', 'x']])).toBe('A          LONG\nwide cell  x\n')
  expect(formatTable(['A'], [['a name\u001b[2J\nof two lines']])).toBe('A\na name [2J of two lines\n')
})
