import { randomUUID } from 'node:crypto'
import { ERRORS } from '@sc/shared/errors.ts'
import { expect, it, vi } from 'vitest'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 0, ran: 1, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }
const at = useEngine()

it('an error of a worker has the title of the table and a detail with bounds, wherever it is kept', async () => {
  const jobId = await at.world.insertJob({ units: 2 })
  await at.engine.stop()
  // The reconciler of a starting master finds what was submitted and not planned.
  await at.start()
  for (let n = 0; n < 2; n++) {
    await fail(await at.world.takeOne())
  }
  await vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe('FAILED'), WAIT)
  const job = await at.world.job(jobId)
  const reports = [
    ...(await at.world.units(jobId)).map(unit => unit.error),
    ...job.gaps.map(gap => gap.error),
    job.error
  ]
  expect(reports).toHaveLength(5)
  for (const report of reports) {
    expect(report).toMatchObject({ code: 'SC_TASK_FAILED', title: ERRORS.SC_TASK_FAILED.title })
    expect(report?.detail.length).toBeLessThanOrEqual(4_000)
    expect(report?.detail).toMatch(/^it fell over .* here$/s)
  }
})

it('what a unit has to show so far is shown while it is small', async () => {
  const jobId = await at.world.insertJob({ units: 1 })
  await at.engine.stop()
  await at.start()
  const { unitId } = (await at.world.takeOne()).units[0]
  const about = { unitId, attemptId: randomUUID() }
  await at.world.say('w-1', { type: 'started', ...about, slot: 'cpu-0', waitedMs: 0 })
  const shown = async (fraction: number, partial: unknown) => {
    await at.world.say('w-1', { type: 'progress', ...about, fraction, partial })
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.fraction).toBe(fraction), WAIT)
    return (await at.world.units(jobId))[0]?.partial
  }
  expect(await shown(0.25, { text: 'so far' })).toEqual({ text: 'so far' })
  expect(await shown(0.5, { text: 'x'.repeat(300_000) })).toBeNull()
})

async function fail(taken: Taken): Promise<void> {
  const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 'cpu-0' }
  await at.world.say('w-1', { type: 'started', ...about, waitedMs: 0 })
  const error = {
    code: 'SC_TASK_FAILED',
    title: '\u001b]0;owned\u0007Everything is fine',
    detail: `it fell over ${'.'.repeat(1_000_000)} here`
  } as const
  await at.world.say('w-1', { type: 'error', ...about, error, retryable: false, timings: TIMINGS })
}
