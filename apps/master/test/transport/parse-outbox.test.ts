import { LARGEST_ENTRY, MOST_MESSAGE_LISTS } from '@sc/shared/outbox-message.ts'
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
  const text = `[${Array(MOST_MESSAGE_LISTS).fill('[]').join()}]`
  const half = LARGEST_ENTRY
  const count = Math.ceil(text.length / half)
  for (let at = 0; at < count; at++) read('m', text.slice(at * half, (at + 1) * half), 'p', `${at}/${count}`)
  expect(refused.map(([gravity]) => gravity)).toEqual(['grave'])
})
