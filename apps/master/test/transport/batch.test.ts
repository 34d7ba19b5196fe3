import { reportOf } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { expect, test } from 'vitest'
import { nextBatch, type Piece, toApply, toPieces, withoutStale } from '../../src/transport/batch.ts'

const about = (unit: number) => ({ unitId: `u${unit}`, attemptId: 'a', ticket: 't' })
const TIMINGS = { waited: 0, fetched: 0, ran: 1, reported: 0 }
const result = (unit: number): OutboxMessage => ({
  type: 'result',
  ...about(unit),
  slot: 's',
  output: 1,
  timings: TIMINGS
})
const log = (unit: number): OutboxMessage => ({ type: 'log', ...about(unit), level: 'info', message: 'x' })
const failed = (unit: number): OutboxMessage => ({
  type: 'error',
  ...about(unit),
  slot: 's',
  error: reportOf('SC_TASK_FAILED', 'x'),
  retryable: false,
  timings: TIMINGS
})
const started = (unit: number): OutboxMessage => ({ type: 'started', ...about(unit), slot: 's', waitedMs: 0 })
const progress = (unit: number, fraction: number): OutboxMessage => ({ type: 'progress', ...about(unit), fraction })
const many = (count: number, make: (at: number) => OutboxMessage) => Array.from({ length: count }, (_, at) => make(at))
const messagesOf = (pieces: Piece[]) => pieces.reduce((sum, { messages }) => sum + messages.length, 0)
/** How many messages of each worker come into the next batch. */
const shares = (queues: Record<string, Piece[]>) =>
  Object.fromEntries(nextBatch(Object.entries(queues)).map(({ workerId, pieces }) => [workerId, messagesOf(pieces)]))
const read = (messages: OutboxMessage[], id = '1-0') => toPieces({ ids: [id], messages }, 0)

test('results go together by the hundred, statements of their own do not, and no worker has more than its share', () => {
  const results = read(many(3_000, result))
  const errors = read(many(3_000, failed))
  expect(shares({ results })).toEqual({ results: 800 })
  expect(shares({ errors })).toEqual({ errors: 6 })
  expect(shares({ errors, results })).toEqual({ errors: 6, results: 800 })
})

test('log lines go together, those of one unit, too', () => {
  expect(shares({ logs: read(many(3_000, () => log(1))) })).toEqual({ logs: 800 })
  const fields = { text: 'x'.repeat(8_000) }
  expect(shares({ logs: read(many(300, () => ({ ...log(1), fields }) as OutboxMessage)) }).logs).toBeLessThan(125)
})

test('the same few units again and again are no results that go together', () => {
  const again = read(many(1_000, () => started(1)))
  expect(shares({ again }).again).toBeLessThan(20)
})

test('a batch has few steps of one unit, whatever they came in and whoever wrote them; the rest goes with the next', () => {
  const alternating = [log(1), started(1), log(1), result(1)]
  const inEntries = Array.from({ length: 50 }, (_, at) => read(alternating, `${at}-1`)).flat()
  const inOne = read(Array.from({ length: 100 }, () => alternating).flat())
  expect(shares({ inEntries })).toEqual({ inEntries: 4 })
  expect(shares({ inOne })).toEqual({ inOne: 6 })
  expect(shares({ inEntries, inOne, results: read(many(500, at => result(at + 2))) })).toEqual({
    inEntries: 4,
    results: 500
  })
  expect(
    shares({ lines: read([...many(300, () => log(1)), started(1), ...many(300, () => log(1)), result(1)]) })
  ).toEqual({
    lines: 602
  })
})

test('large results of one worker leave the others their share', () => {
  const output = Array.from({ length: 330_000 }, () => 1)
  const large = read(many(50, at => ({ ...result(at), output }) as OutboxMessage))
  const results = read(many(3_000, result))
  expect(shares({ large, results })).toEqual({ large: 1, results: 800 })
  const texts = read(many(50, at => ({ ...result(at), output: 'x'.repeat(100_000) }) as OutboxMessage))
  expect(shares({ texts, large, results })).toEqual({ texts: 9, large: 1, results: 400 })
})

test('of messages of the usual size each weighs the same', () => {
  const output = { text: 'x'.repeat(300), words: [1, 2, 3, 4, 5, 6, 7, 8] }
  expect(read(many(100, at => ({ ...result(at), output }) as OutboxMessage)).map(({ weight }) => weight)).toEqual([100])
})

test('a piece that is larger than a share goes all the same, and a queue keeps its order', () => {
  const [first, ...rest] = read([...many(10, failed), result(10)])
  expect(shares({ one: [{ ...(first as Piece), weight: 10_000 }, ...rest] })).toEqual({ one: first?.messages.length })
  const all = [...many(500, result), failed(500), ...many(500, at => result(501 + at))]
  const applied: string[] = []
  let queue = read(all)
  while (queue.length > 0) {
    const [share] = nextBatch([['w', queue]])
    for (const { message } of toApply([share as NonNullable<typeof share>]))
      applied.push((message as { unitId: string }).unitId)
    queue = queue.slice(share?.pieces.length)
  }
  expect(applied).toEqual(all.map((_, at) => `u${at}`))
})

test('an entry is deleted with its last piece', () => {
  const pieces = read(many(100, failed), '7-1')
  expect(pieces.length).toBeGreaterThan(10)
  expect(pieces.map(({ ids }) => ids.length)).toEqual([...Array(pieces.length - 1).fill(0), 1])
  const empty = { ids: ['8-0'], messages: [], weight: 0, steps: new Map(), readMs: 5 }
  expect(toPieces({ ids: ['8-0'], messages: [] }, 5)).toEqual([empty])
})

test('of several states, and of the progress of one unit, the last one counts', () => {
  const state = (instance: string): OutboxMessage => ({ type: 'state', instance, holding: [], wants: [] })
  const kept = withoutStale([state('a'), progress(1, 0.1), progress(2, 0.1), result(3), progress(1, 0.5), state('b')])
  expect(kept).toEqual([progress(2, 0.1), result(3), progress(1, 0.5), state('b')])
})

test('large partials weigh more, and of those of one unit in a batch the last one is applied, whatever entry it came in', () => {
  const partial = 'x'.repeat(250_000)
  const large = (unit: number, fraction: number) => ({ ...progress(unit, fraction), partial }) as OutboxMessage
  const queue = [0.1, 0.2, 0.3].flatMap((fraction, at) => read([large(1, fraction), large(2, fraction)], `${at}-1`))
  expect(shares({ queue, results: read(many(500, result)) })).toEqual({ queue: 2, results: 500 })
  const small = [0.1, 0.2, 0.3].flatMap((fraction, at) => read([progress(1, fraction), result(at + 5)], `${at}-1`))
  const applied = toApply([{ workerId: 'w', pieces: small }]).map(({ message }) => message)
  expect(applied).toEqual([result(5), result(6), progress(1, 0.3), result(7)])
})

test('of several registrations of a worker the last one is applied', () => {
  const registered = (name: string): OutboxMessage => ({ type: 'registered', tasks: [], classes: [name] })
  const batch = nextBatch([['w', read([registered('cpu'), result(1), registered('gpu')])]])
  expect(toApply(batch).map(({ message }) => message)).toEqual([result(1), registered('gpu')])
})
