import { reportOf } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { expect, test } from 'vitest'
import type { TakenEntry } from '../../src/queues/queues.ts'
import { createLinks } from '../../src/transport/links.ts'
import { createNotes } from '../../src/transport/note-messages.ts'

const nothing = () => {}
const notes = () =>
  createNotes({
    tickets: { unit: () => '', entry: () => '', isUnit: () => true, isEntry: () => true },
    onHello: nothing,
    onWants: nothing,
    onUnknown: nothing,
    onLost: nothing,
    onRefused: nothing
  })
const TIMINGS = { waited: 0, fetched: 0, ran: 1, reported: 0 }

test('no unit takes longer than its worker has had it, whatever the worker says', () => {
  const link = createLinks().add('w-1')
  const given = { entry: 'e', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['u'] }
  link.give('slot', 1, given, performance.now() - 1_000)
  const note = notes()
  const timings = { waited: 0, fetched: 20, ran: 1e10, reported: 0 }
  const about = { unitId: 'u', attemptId: 'a', ticket: 't', slot: 'slot' }
  const message: OutboxMessage = { type: 'result', ...about, output: null, timings }
  expect(note(link, message)).toBe(true)
  expect(message.timings.fetched).toBe(20)
  expect(message.timings.ran).toBeGreaterThanOrEqual(1_000)
  expect(message.timings.ran).toBeLessThan(60_000)
})

test('what a worker says of units that it does not hold is applied while it may hold them, and then little of it', () => {
  const link = createLinks().add('w-1')
  const note = notes()
  const about = { unitId: 'ended', attemptId: 'a', ticket: 't' }
  const messages: OutboxMessage[] = [
    { type: 'started', ...about, slot: 's', waitedMs: 0 },
    { type: 'log', ...about, level: 'info', message: 'x' },
    { type: 'returned', ...about, slot: 's', entry: 'e', hasBegun: true },
    { type: 'error', ...about, slot: 's', error: reportOf('SC_TASK_FAILED', 'x'), retryable: true, timings: TIMINGS },
    { type: 'result', ...about, slot: 's', output: 1, timings: TIMINGS }
  ]
  const applied = (times: number) =>
    Object.fromEntries(
      messages.map(message => [
        message.type,
        Array.from({ length: times }, () => note(link, message)).filter(Boolean).length
      ])
    )
  expect(applied(40)).toEqual({ started: 40, log: 40, returned: 40, error: 40, result: 40 })
  link.sureFromMs = 0
  const { started = 0, returned = 0, error = 0, ...rest } = applied(40)
  expect(started + returned + error).toBe(20)
  expect(rest).toEqual({ log: 0, result: 40 })
  link.give('s', 1, { entry: 'e', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['ended'] }, 0)
  expect(applied(40)).toEqual({ started: 40, log: 40, returned: 40, error: 40, result: 40 })
})
