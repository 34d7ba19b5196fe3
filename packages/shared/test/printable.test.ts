import { expect, test } from 'vitest'
import { createLog } from '../src/log.ts'
import { printable, printableJson, printableText } from '../src/printable.ts'

/** Every character that a terminal may take for a command or that turns text around. */
const MARKS = [
  ...range(0x00, 0x1f).filter(mark => mark !== '\n' && mark !== '\t'),
  ...range(0x7f, 0x9f),
  '\u061c',
  '\u200e',
  '\u200f',
  ...range(0x2028, 0x202e),
  ...range(0x2066, 0x206f)
]

test('no mark is left in a line or a text; text keeps its line ends, tabs and letters of any script', () => {
  for (const mark of MARKS) {
    expect(printable(`a${mark}b`)).toMatch(/^a ?b$/)
    expect(printableText(`a${mark}b\n\tc`)).toMatch(/^a ?b\n\tc$/)
  }
  expect(printable('one\n\ttwo')).toBe('one two')
  const letters = 'naïve – “quoted” שלום مرحبا 日本語 👩‍🚀'
  expect([printable(letters), printableText(letters)]).toEqual([letters, letters])
})

test('JSON has an escape for each mark and the same value', () => {
  const value = { [`k${MARKS.join('')}`]: MARKS.join('x'), same: 'שלום' }
  const json = printableJson(JSON.stringify(value, null, 2))
  expect(JSON.parse(json)).toEqual(value)
  expect(printableText(json)).toBe(json)
})

test('a line of a log has none of them either', () => {
  const written: string[] = []
  const log = createLog('test', 'info', { write: line => void written.push(line) })
  log.info({ name: MARKS.join('x') }, `a\u009b31m\u202eb`)
  const line = written.join('')
  expect(printableText(line)).toBe(line)
  expect(JSON.parse(line)).toMatchObject({ name: MARKS.join('x'), msg: 'a\u009b31m\u202eb' })
})

function range(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, at) => String.fromCharCode(first + at))
}
