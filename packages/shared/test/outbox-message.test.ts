import { expect, test } from 'vitest'
import { isOfAttempt, MOST_SLOTS, type OutboxMessage, outboxMessageSchema } from '../src/outbox-message.ts'

const attempt = { unitId: 'u', attemptId: 'a', ticket: 't' }
const timings = { waited: 0, fetched: 1, ran: 2, reported: 3 }
const want = { slot: 'cpu0', want: 1, queues: ['gpu', 'cpu'] }
const holding = { entry: 'e', queue: 'cpu', slot: 'cpu0', ticket: 't' }
const TASK = { name: 't', gpu: false, vramGb: 0, inputSchema: {}, outputSchema: {} }
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

const zeros = Array(100_000).fill(0)
const wants = (count: number) => Array.from({ length: count }, () => ({ ...want, queues: Array(1_000).fill('q') }))

test.each([
  ['tasks that are none', { type: 'registered', tasks: zeros }],
  ['a few tasks that are none', { type: 'registered', tasks: zeros.slice(0, 100) }],
  ['classes that are none', { type: 'registered', tasks: [], classes: zeros }],
  ['features that are none', { type: 'registered', tasks: [{ ...TASK, features: zeros }] }],
  ['queues that are none', { type: 'want', ...want, queues: zeros.slice(0, 1_000) }],
  ['wants that are none', { type: 'state', instance: 'i', holding: [], wants: zeros.slice(0, 200) }],
  ['entries that are none', { type: 'state', instance: 'i', holding: zeros.slice(0, 200), wants: [] }],
  ['queues of all wants beyond what slots have', { type: 'state', instance: 'i', holding: [], wants: wants(61) }],
  ['a log whose fields are a list', { ...OF_ATTEMPTS[2], fields: zeros }]
])('%s are one issue, however many', (_what, message) => {
  expect(outboxMessageSchema.safeParse(message).error?.issues.length).toBe(1)
})

test('a slot may have a thousand queues, and sixty of them all', () => {
  const message = { type: 'state', instance: 'i', holding: [], wants: wants(60) }
  expect(outboxMessageSchema.parse(message)).toEqual(message)
})

test.each(['a\0', '\ud83d', 'é', 'a\n', '\x7f'])('an id with %j is refused, wherever it stands', text => {
  const messages = [
    ...OF_ATTEMPTS.map(message => ({ ...message, unitId: text })),
    ...OF_ATTEMPTS.map(message => ({ ...message, attemptId: text })),
    ...OF_ATTEMPTS.filter(message => 'slot' in message).map(message => ({ ...message, slot: text })),
    { ...OF_ATTEMPTS[5], entry: text },
    { type: 'want', ...want, slot: text },
    { type: 'state', instance: 'i', holding: [{ ...holding, entry: text }], wants: [] },
    { type: 'state', instance: 'i', holding: [{ ...holding, slot: text }], wants: [] },
    { ...OF_WORKERS[0], instance: text }
  ]
  for (const message of messages)
    expect(outboxMessageSchema.safeParse(message).success, JSON.stringify(message)).toBe(false)
})

test('a line of a log with more fields than anybody reads is kept without them', () => {
  const fields = Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`f${at}`, at]))
  expect(outboxMessageSchema.parse({ ...OF_ATTEMPTS[2], fields })).toEqual({
    ...OF_ATTEMPTS[2],
    fields: { leftOut: '1001 fields' }
  })
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
