import { randomUUID } from 'node:crypto'
import { expect, it, vi } from 'vitest'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 0, ran: 1, reported: 0 }
const WAIT = { timeout: 15_000, interval: 20 }
const at = useEngine()

async function submit(units: number): Promise<string> {
  const jobId = await at.world.insertJob({ units })
  await at.engine.stop()
  // The reconciler of a starting master finds what was submitted and not planned.
  await at.start()
  return jobId
}

async function answer(workerId: string, output: string): Promise<void> {
  const taken = await at.world.takeOne('cpu', workerId)
  const about = { unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 'cpu-0' }
  await at.world.say(workerId, { type: 'result', ...about, output, timings: TIMINGS })
}

const outputs = async (jobId: string) => (await at.world.units(jobId)).map(({ output }) => output)
const ended = (jobId: string) =>
  vi.waitFor(async () => {
    expect((await at.world.job(jobId)).status).toBe('COMPLETED')
    expect((await at.world.job(jobId)).told).toBe(true)
  }, WAIT)

it('a job that has ended is done anew, under its id', async () => {
  const jobId = await submit(2)
  await answer('w-1', 'made up')
  await answer('w-2', 'right')
  await ended(jobId)
  expect(await at.engine.redo(jobId, 'w-1')).toBe(true)
  expect(await at.world.job(jobId)).toMatchObject({ status: 'PENDING', finished_at: null })
  for (let n = 0; n < 2; n++) await answer('w-2', 'right')
  await ended(jobId)
  expect(await outputs(jobId)).toEqual(['right', 'right'])
  expect(await at.engine.redo(jobId, 'w-1')).toBe(false)
})

it('a job that is still open too: what others have of it counts no more', async () => {
  const jobId = await submit(2)
  await answer('w-1', 'made up')
  await vi.waitFor(async () => expect((await outputs(jobId)).filter(Boolean)).toEqual(['made up']), WAIT)
  expect(await at.engine.redo(jobId, 'w-1')).toBe(true)
  expect(await at.world.units(jobId)).toEqual([])
  for (let n = 0; n < 2; n++) await answer('w-2', 'right')
  await ended(jobId)
  expect(await outputs(jobId)).toEqual(['right', 'right'])
})
