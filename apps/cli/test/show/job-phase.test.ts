import { expect, test } from 'vitest'
import type { JobView } from '../../src/follow/job-view.ts'
import { createJobPhase } from '../../src/show/job-phase.ts'

const job = (change: Partial<JobView>): JobView => ({ status: 'RUNNING', progress: 0, durationSeconds: 600, ...change })

test('a running job says its chunks, its speed by our clock, and what is left', () => {
  let nowMs = 1_000
  const phaseOf = createJobPhase(() => nowMs)
  const chunks = { total: 4, done: 1, failed: 0 }
  expect(phaseOf(job({ progress: 0.25, chunks })).text).toBe('1/4 chunks')
  nowMs += 30_000
  // Another quarter of 600 s in 30 s: five times real time; half of it, 300 s, is left.
  expect(phaseOf(job({ progress: 0.5, chunks: { ...chunks, done: 2 } }))).toEqual({
    fraction: 0.5,
    text: '2/4 chunks, 5.0x real time, 1:00 left'
  })
  // The master knows better.
  expect(phaseOf(job({ progress: 0.5, chunks, etaSeconds: 95 })).text).toContain('1:35 left')
})

test('before the first chunk is known the recording is being looked at', () => {
  expect(createJobPhase()(job({ chunks: { total: 0, done: 0, failed: 0 } })).text).toBe(
    'looking for pauses in the recording'
  )
})

test('a waiting job says what it waits for', () => {
  const phaseOf = createJobPhase()
  expect(phaseOf(job({ status: 'PENDING', queuePosition: 2 })).text).toBe('queued, position 2')
  const waitingFor = 'waits for a worker: none is online'
  expect(phaseOf(job({ status: 'PENDING', waitingFor })).text).toBe(waitingFor)
})

test('a finished job says its speed by the clock of the master', () => {
  const ended = job({
    status: 'COMPLETED',
    progress: 1,
    chunks: { total: 4, done: 4, failed: 0 },
    startedAt: '2026-01-01T00:00:00Z',
    finishedAt: '2026-01-01T00:01:00Z'
  })
  expect(createJobPhase()(ended).text).toBe('done, 4 chunks, 10:00 of audio, in 1:00, 10x real time')
})
