import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { expect, test } from 'vitest'
import type { TakenEntry } from '../../src/queues/queues.ts'
import { createLinks } from '../../src/transport/links.ts'
import { createNotes } from '../../src/transport/note-messages.ts'

test('no unit takes longer than its worker has had it, whatever the worker says', () => {
  const link = createLinks().add('w-1')
  const given = { entry: 'e', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['u'] }
  link.give('slot', 1, given, performance.now() - 1_000)
  const nothing = () => {}
  const note = createNotes({
    tickets: { unit: () => '', entry: () => '', isUnit: () => true, isEntry: () => true },
    onHello: nothing,
    onWants: nothing,
    onUnknown: nothing,
    onLost: nothing,
    onRefused: nothing
  })
  const timings = { waited: 0, fetched: 20, ran: 1e10, reported: 0 }
  const about = { unitId: 'u', attemptId: 'a', ticket: 't', slot: 'slot' }
  const message: OutboxMessage = { type: 'result', ...about, output: null, timings }
  expect(note(link, message)).toBe(true)
  expect(message.timings.fetched).toBe(20)
  expect(message.timings.ran).toBeGreaterThanOrEqual(1_000)
  expect(message.timings.ran).toBeLessThan(60_000)
})
