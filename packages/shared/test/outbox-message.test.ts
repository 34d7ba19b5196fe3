import { expect, test } from 'vitest'
import { isOfAttempt, MOST_SLOTS, type OutboxMessage, outboxMessageSchema } from '../src/outbox-message.ts'

const attempt = { unitId: 'u', attemptId: 'a', ticket: 't' }
const timings = { waited: 0, fetched: 1, ran: 2, reported: 3 }
const want = { slot: 'cpu0', want: 1, queues: ['gpu', 'cpu'] }
const holding = { entry: 'e', queue: 'cpu', slot: 'cpu0', ticket: 't' }
const error = { code: 'SC_TASK_FAILED', title: 'title', detail: 'detail' }
const OF_ATTEMPTS = [
  { type: 'started', ...attempt, slot: 's', waitedMs: 0 },
  { type: 'progress', ...attempt, fraction: 0.5, partial: { any: 'thing' } },
  { type: 'log', ...attempt, level: 'warn', message: 'm', fields: { a: 1 } },
  { type: 'result', ...attempt, slot: 's', output: [1], timings },
  { type: 'error', ...attempt, slot: 's', error, retryable: true, timings },
  { type: 'returned', ...attempt, slot: 's', entry: 'e', hasBegun: false }
]
const OF_WORKERS = [
  { type: 'hello', instance: 'i', hostname: 'h', protocol: 5, version: '0.1.0' },
  { type: 'want', ...want },
  { type: 'state', instance: 'i', holding: [holding], wants: [want] },
  { type: 'registered', tasks: [], classes: ['cpu'] }
]

test.each([...OF_ATTEMPTS, ...OF_WORKERS])('a message $type is taken as it is', message => {
  expect(outboxMessageSchema.parse(message)).toEqual(message)
})

test('what is of an attempt is known by its attempt', () => {
  for (const message of OF_ATTEMPTS) expect(isOfAttempt(message as OutboxMessage)).toBe(true)
  for (const message of OF_WORKERS) expect(isOfAttempt(message as OutboxMessage)).toBe(false)
})

test.each(OF_ATTEMPTS)('a message $type without its ticket is refused', ({ ticket: _, ...message }) => {
  expect(outboxMessageSchema.safeParse(message).success).toBe(false)
})

test.each([
  ['a want number that does not count', { type: 'want', ...want, want: 0 }],
  ['a name without end', { type: 'want', ...want, slot: 's'.repeat(201) }],
  ['a ticket without end', { ...OF_ATTEMPTS[0], ticket: 't'.repeat(101) }],
  ['more queues than any slot has', { type: 'want', ...want, queues: Array(2_001).fill('q') }],
  ['more wants than slots', { type: 'state', instance: 'i', holding: [], wants: Array(MOST_SLOTS + 1).fill(want) }],
  [
    'more entries than slots can have',
    { type: 'state', instance: 'i', holding: Array(4 * MOST_SLOTS + 1).fill(holding), wants: [] }
  ],
  ['an error that is none of the table', { ...OF_ATTEMPTS[4], error: { ...error, code: 'SC_NO_SUCH' } }],
  ['a fraction beyond the whole', { ...OF_ATTEMPTS[1], fraction: 1.1 }],
  ['a type that is not known', { ...attempt, type: 'other' }]
])('%s is refused', (_what, message) => {
  expect(outboxMessageSchema.safeParse(message).success).toBe(false)
})

test.each([1.7e308, 1e20, -1e308, 5e-324])('a time of %d ms is taken for one that can be added and divided', absurd => {
  const result = { ...OF_ATTEMPTS[3], timings: { ...timings, ran: absurd } }
  expect(outboxMessageSchema.parse(result)).toMatchObject({ timings: { fetched: 1, ran: absurd > 1 ? 1e10 : 0 } })
  expect(outboxMessageSchema.parse({ ...OF_ATTEMPTS[0], waitedMs: absurd })).toMatchObject({
    waitedMs: absurd > 1 ? 1e10 : 0
  })
})
