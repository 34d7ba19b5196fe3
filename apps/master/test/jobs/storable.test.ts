import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { storableJson } from '../../src/database/jsonb.ts'
import { storable } from '../../src/jobs/storable.ts'

const about = { unitId: 'u', attemptId: 'a', ticket: 't', slot: 's' }
const timings = { waited: 0, fetched: 0, ran: 0, reported: 0 }
const result = (output: unknown): OutboxMessage => ({ type: 'result', ...about, output, timings })

it.each(['a\0b', { key: ['\ud83d'] }, { '\0': 1 }])('a result with %j is an error of its task', output => {
  expect(storable(result(output))).toMatchObject({ type: 'error', error: { code: 'SC_TASK_FAILED' }, retryable: false })
})

it.each(['attemptId', 'slot'] as const)('an error made of such a result has nothing of it in its %s either', name => {
  const told = storable({ ...result('a\0'), [name]: 'b\0\ud83d' } as OutboxMessage)
  expect(told).toMatchObject({ type: 'error', [name]: 'b\ufffd\ufffd' })
  expect(told).not.toHaveProperty('output')
})

it.each(['😀', '\\u0000', '\\\\u0000', 'C:\\users\\d800'])('a result with %j stays as it is', output => {
  expect(storable(result(output))).toEqual(result(output))
})

it('JSON becomes that of the same text with U+FFFD for what cannot be kept, however many backslashes are before it', () => {
  const piece = fc.constantFrom('\\', '\0', '\ud83d', '😀', 'u0000', '\n', 'x')
  fc.assert(
    fc.property(fc.string({ unit: piece }), text => {
      const kept = JSON.stringify(text.replaceAll('\0', '\ufffd').toWellFormed())
      expect(storableJson(JSON.stringify(text))).toBe(kept)
    })
  )
})

it('what is only told is mended', () => {
  const log: OutboxMessage = {
    type: 'log',
    unitId: 'u',
    attemptId: 'a',
    ticket: 't',
    level: 'info',
    message: 'x\0\ud83d\\u0000'
  }
  expect(storable(log)).toEqual({ ...log, message: 'x\ufffd\ufffd\\u0000' })
})

/** PostgreSQL writes each with 301 digits. */
const long = (count: number): number[] => Array.from({ length: count }, () => 1e300)

it('a result whose numbers become too long in PostgreSQL is an error of its task', () => {
  expect(storable(result(long(60_000)))).toMatchObject({ type: 'error', error: { code: 'SC_TASK_FAILED' } })
  expect(storable(result([1e300, 1.5e-9, '1e+300']))).toEqual(result([1e300, 1.5e-9, '1e+300']))
})

it('progress with such numbers is nothing', () => {
  const progress = (partial: unknown): OutboxMessage => {
    return { type: 'progress', unitId: 'u', attemptId: 'a', ticket: 't', fraction: 0.5, partial }
  }
  expect(storable(progress(long(1_000)))).toBeNull()
  expect(storable(progress([1e300]))).toEqual(progress([1e300]))
})
