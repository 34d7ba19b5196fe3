import { MOST_OUTPUT_LISTS, MOST_OUTPUT_SHAPES, MOST_OUTPUT_VALUES } from '@sc/shared/json-excess.ts'
import { LARGEST_ENTRY } from '@sc/shared/outbox-message.ts'
import { expect, test } from 'vitest'
import { createOutboxParser, type Gravity } from '../../src/transport/parse-outbox.ts'

function createReader() {
  const refused: Array<[Gravity, string]> = []
  const parser = createOutboxParser((reason, gravity) => void refused.push([gravity, reason]))
  let count = 0
  return {
    refused,
    parser,
    read: (...fields: string[]) => parser.parse({ id: `${++count}-0`, fields })
  }
}

const HELLO = { type: 'hello', instance: 'i', hostname: 'h', protocol: 5, version: '1' }
const log = (message: string) => ({ type: 'log', unitId: 'u', attemptId: 'a', ticket: 't', level: 'info', message })

test('a message in parts is put together; all its entries are deleted with it', () => {
  const { read, refused } = createReader()
  const text = JSON.stringify([log('x'.repeat(100))])
  expect(read('m', text.slice(0, 50), 'p', '0/2')).toBeUndefined()
  expect(read('m', text.slice(50), 'p', '1/2')).toEqual({ ids: ['1-0', '2-0'], messages: [log('x'.repeat(100))] })
  expect(refused).toEqual([])
})

test('parts that begin anew, as after an outage, leave nothing behind, however often they do', () => {
  const { read, refused } = createReader()
  expect(read('m', '[', 'p', '0/2')).toBeUndefined()
  for (let at = 1; at <= 100; at++) expect(read('m', '[', 'p', '0/2')).toEqual({ ids: [`${at}-0`], messages: [] })
  expect(read('m', ']', 'p', '1/2')).toEqual({ ids: ['101-0', '102-0'], messages: [] })
  expect(refused.map(([gravity]) => gravity)).toEqual(Array(100).fill('wrong'))
})

test('an entry with other fields is what no mistake does, and costs what it has, empty or not', () => {
  const { read, refused, parser } = createReader()
  expect(read('m', '[]', ...Array(2_000).fill(''))?.messages).toEqual([])
  expect(refused.map(([gravity]) => gravity)).toEqual(['flood'])
  expect(parser.takeCost()).toBeGreaterThan(100_000)
  read('m', JSON.stringify([HELLO]))
  expect(parser.takeCost()).toBeLessThan(1_000)
})

test('objects and lists cost more than characters, and have a limit', () => {
  const { read, refused, parser } = createReader()
  const lists = `[${Array(10_000).fill('[]').join()}]`
  read(
    'm',
    `[{"type":"log","unitId":"u","attemptId":"a","ticket":"t","level":"info","message":"","fields":{"a":${lists}}}]`
  )
  expect(parser.takeCost()).toBeGreaterThan(10 * lists.length)
  expect(refused).toEqual([])
})

/** In as many entries as it takes. */
function readInParts({ read }: ReturnType<typeof createReader>, text: string) {
  const count = Math.ceil(text.length / LARGEST_ENTRY)
  const parts = Array.from({ length: count }, (_, at) => text.slice(at * LARGEST_ENTRY, (at + 1) * LARGEST_ENTRY))
  return parts.map((part, at) => read('m', part, 'p', `${at}/${count}`)).at(-1)
}

const repeated = (text: string, count: number): string => `${`${text},`.repeat(count)}${text}`
const different = (count: number): string => Array.from({ length: count }, (_, at) => `{"name ${at}":0}`).join()

test.each([
  ['objects and lists', repeated('[]', MOST_OUTPUT_LISTS + 20_000)],
  ['values', repeated('0', MOST_OUTPUT_VALUES + 20_000)],
  ['different names of fields', different(MOST_OUTPUT_SHAPES + 20_000)]
])('a message with too many %s is refused before it is parsed, whatever it is', (what, list) => {
  const reader = createReader()
  // Not even JSON.
  expect(readInParts(reader, `[{"type":"result","output":[${list}]`)?.messages).toEqual([])
  expect(reader.refused).toEqual([['grave', expect.stringContaining(what)]])
})

test('objects of the same names in ever another order are as many different ones, and refused', () => {
  const reader = createReader()
  const names = Array.from({ length: 100 }, (_, at) => `"n${at}":0`)
  const objects = Array.from({ length: 100 }, (_, by) => `{${[...names.slice(by), ...names.slice(0, by)].join()}}`)
  const message = (count: number) =>
    `[{"type":"state","junk":[${Array.from({ length: count }, (_, at) => objects.map(one => one.replace('{', `{"${at}":0,`))).join()}]`
  reader.read('m', message(5))
  expect(reader.refused).toEqual([['wrong', 'it is not JSON']])
  reader.read('m', message(12))
  expect(reader.refused[1]).toEqual(['grave', expect.stringContaining('different names of fields')])
})

test.each(['x', '0/2/', '/'.repeat(3_000_000), '-1/2', '0/1e3'])(
  'a part whose place is none is refused as it is read',
  place => {
    const { read, refused } = createReader()
    expect(read('m', '[]', 'p', place)?.messages).toEqual([])
    expect(refused).toEqual([['grave', expect.stringContaining('no place')]])
  }
)

test('a refused message of a hundred thousand parts is one refusal, and costs by its parts', () => {
  const { read, refused, parser } = createReader()
  const text = `[{"type":"registered","tasks":[${repeated('0', 100_000)}]}]`
  read('m', text)
  expect(refused.map(([gravity]) => gravity)).toEqual(['wrong'])
  expect(parser.takeCost()).toBeGreaterThan(7 * text.length)
})

test('names of fields cost more than characters where they are new, and less where they are the same', () => {
  const { read, refused, parser } = createReader()
  const costOf = (fields: string): number => {
    const about = '"type":"log","unitId":"u","attemptId":"a","ticket":"t","level":"info","message":""'
    const text = `[{${about},"fields":{"a":[${fields}]}}]`
    read('m', text)
    return parser.takeCost() / text.length
  }
  expect(costOf(different(10_000))).toBeGreaterThan(1.2 * costOf(repeated('{"name 1000":0}', 10_000)))
  expect(refused).toEqual([])
})

test('a result of 12 MB of numbers is taken as it is', () => {
  const reader = createReader()
  const result = {
    ...{ type: 'result', unitId: 'u', attemptId: 'a', ticket: 't', slot: 's' },
    ...{ output: Array(4_000_000).fill(12), timings: { waited: 0, fetched: 0, ran: 1, reported: 0 } }
  }
  const messages = readInParts(reader, JSON.stringify([result]))?.messages
  expect(reader.refused).toEqual([])
  // Not compared one by one: that takes seconds.
  expect(messages).toEqual([{ ...result, output: expect.toSatisfy((list: unknown[]) => list.length === 4_000_000) }])
})
