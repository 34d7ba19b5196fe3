import { expect, test } from 'vitest'
import { gapsOf, idleShare, type RanUnit } from '../bench/link/idle.ts'

const START_MS = Date.parse('2026-01-01T00:00:00.000Z')
const unit = (startMs: number, timings: Partial<RanUnit['timingsMs']>, slot = 'cpu0'): RanUnit => ({
  task: 'transcribe.chunk',
  workerId: 'far',
  slot,
  startedAt: new Date(START_MS + startMs).toISOString(),
  timingsMs: { waited: 10_000, fetched: 0, ran: 0, ...timings }
})

test('a gap is from the end of a run to the beginning of the next, its fetching included', () => {
  const units = [unit(1_130, { fetched: 20, ran: 500 }), unit(0, { fetched: 100, ran: 1_000 })]
  expect(gapsOf(units)).toEqual([{ idleMs: 50, ranMs: 1_000 }])
})

test('each slot has its own, and one without work is not idle', () => {
  const units = [
    unit(0, { ran: 100 }, 'cpu0'),
    unit(150, { ran: 100 }, 'cpu1'),
    unit(300, { ran: 100, waited: 10 }, 'cpu0'),
    unit(440, { ran: 60 }, 'cpu0')
  ]
  expect(gapsOf(units)).toEqual([{ idleMs: 40, ranMs: 100 }])
})

test('the share is of all that ran', () => {
  expect(
    idleShare([
      { idleMs: 10, ranMs: 100 },
      { idleMs: 20, ranMs: 900 }
    ])
  ).toBeCloseTo(0.03)
})
