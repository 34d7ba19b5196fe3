/** Units of transcriptions that wait for a GPU when the last one is gone. */
import { beforeEach, expect, it, vi } from 'vitest'
import type { UnitDraft } from '../../src/jobs/definition.ts'
import { startLeavingGpus } from '../../src/jobs/leave-gpu.ts'
import { createMetrics } from '../../src/metrics.ts'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const WAIT = { timeout: 8_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }
const WINDOWS = [{ start: 0, end: 16_000, speech: [], overlap: 0 }]
const OUTPUT = {
  model: 'base',
  device: 'cpu',
  compute_type: 'int8',
  windows: [{ language: 'en', language_probability: 1, segments: [], quality: [] }]
}

const at = useEngine(async () => ({
  definitions: () => [
    {
      task: 'talk',
      async *plan(job) {
        const { queue, task, units } = job.input as { queue: string; task: string; units: number }
        for (let index = 0; index < units; index++)
          yield {
            task,
            index,
            // As a transcription is: for a GPU where there is one.
            queue: queue === 'gpu' && hasOnlyCpus() ? 'cpu' : queue,
            input: null,
            params: { windows: WINDOWS, salt: job.id },
            blobs: {},
            span: {},
            seconds: 1,
            deadlineMs: 60_000
          } satisfies UnitDraft
        return {}
      },
      merge: async () => ({ status: 'COMPLETED', error: null, gaps: [], language: null })
    }
  ]
}))
const hasOnlyCpus = () => at.world.slots.get('gpu') === 0 && at.world.slots.get('cpu') !== 0
beforeEach(() => at.world.slots.clear())

async function submit(units: number, queue = 'gpu', task = 'transcribe.chunk'): Promise<string> {
  const id = await at.world.insertJob({ units, queue, task })
  await at.world.db.updateTable('jobs').set({ task: 'talk' }).where('id', '=', id).execute()
  await vi.waitFor(async () => {
    const sent = (await at.world.units(id)).filter(({ entry }) => entry !== null)
    expect(sent).toHaveLength(units)
  }, WAIT)
  return id
}

const queuesOf = async (id: string) => (await at.world.units(id)).map(({ queue }) => queue)
const moved = (id: string, queues: string[]) => vi.waitFor(async () => expect(await queuesOf(id)).toEqual(queues), WAIT)

async function begin({ units: [{ unitId }] }: Taken, workerId = 'w-1'): Promise<void> {
  await at.world.say(workerId, { type: 'started', unitId, attemptId: `of ${workerId}`, slot: 's', waitedMs: 0 })
}

async function answer({ units: [{ unitId }] }: Taken, workerId = 'w-1'): Promise<void> {
  const about = { unitId, attemptId: `of ${workerId}`, slot: 's' }
  await at.world.say(workerId, { type: 'result', ...about, output: OUTPUT, timings: TIMINGS })
}

it('of a job of which nothing was done: it is planned again, without a GPU', async () => {
  const id = await submit(2)
  at.world.slots.set('gpu', 0)
  await moved(id, ['cpu', 'cpu'])
  expect(await at.world.job(id)).toMatchObject({ generation: 1, status: 'PENDING' })
  for (let n = 0; n < 2; n++) await answer(await at.world.takeOne('cpu'))
  await vi.waitFor(async () => expect((await at.world.job(id)).status).toBe('COMPLETED'), WAIT)
  expect(await at.world.units(id)).toMatchObject([
    { attempts: 0, crashes: 0, dispatch: 0 },
    { attempts: 0, crashes: 0, dispatch: 0 }
  ])
  expect(await countEntries(at.world.queueOf('gpu'))).toEqual({ waiting: 0, active: 0 })
})

it('of a job of which some was done go to CPU slots, at no cost', async () => {
  const id = await submit(2)
  await answer(await at.world.takeOne('gpu'))
  await vi.waitFor(
    async () => expect((await at.world.units(id)).some(({ status }) => status === 'DONE')).toBe(true),
    WAIT
  )
  at.world.slots.set('gpu', 0)
  await answer(await at.world.takeOne('cpu'))
  await vi.waitFor(async () => expect((await at.world.job(id)).status).toBe('COMPLETED'), WAIT)
  const costs = (await at.world.units(id)).map(({ queue, attempts, crashes }) => [queue, attempts, crashes])
  expect(costs.sort()).toEqual([
    ['cpu', 0, 0],
    ['gpu', 0, 0]
  ])
  expect((await at.world.job(id)).generation).toBe(0)
  expect(await countEntries(at.world.queueOf('gpu'))).toEqual({ waiting: 0, active: 0 })
})

it('of a class that only a larger card would serve, too', async () => {
  const id = await submit(1, 'gpu.vram24')
  at.world.slots.set('gpu.vram24', 0)
  await moved(id, ['cpu'])
  expect((await at.world.job(id)).generation).toBe(0)
})

it('stay while a slot has one of their job, and leave once that is lost, as a crash', async () => {
  const id = await submit(3)
  await answer(await at.world.takeOne('gpu'))
  const taken = await at.world.takeOne('gpu')
  await begin(taken)
  const { index } = taken.units[0]
  await vi.waitFor(async () => expect((await at.world.units(id))[index]?.status).toBe('RUNNING'), WAIT)
  const other = await submit(1)
  at.world.slots.set('gpu', 0)
  await moved(other, ['cpu'])
  // A further round.
  await new Promise(resolve => setTimeout(resolve, 1_200))
  expect(await queuesOf(id)).toEqual(['gpu', 'gpu', 'gpu'])
  expect((await at.world.units(id))[index]).toMatchObject({ status: 'RUNNING', crashes: 0 })
  at.world.worker('w-1').die()
  await vi.waitFor(
    async () => expect((await at.world.units(id))[index]).toMatchObject({ queue: 'cpu', status: 'QUEUED', crashes: 1 }),
    { timeout: 20_000, interval: 20 }
  )
  for (let n = 0; n < 3; n++) await answer(await at.world.takeOne('cpu', 'w-2'), 'w-2')
  for (const jobId of [id, other])
    await vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe('COMPLETED'), WAIT)
}, 40_000)

it('stay where no CPU slot would take them, and where they are not of a transcription', async () => {
  const other = await submit(1, 'gpu', 'square')
  at.world.slots.set('cpu', 0)
  const id = await submit(1)
  at.world.slots.set('gpu', 0)
  await new Promise(resolve => setTimeout(resolve, 2_500))
  expect(await queuesOf(id)).toEqual(['gpu'])
  at.world.slots.set('cpu', 1)
  await moved(id, ['cpu'])
  expect(await queuesOf(other)).toEqual(['gpu'])
})

it('wait a while for a worker that is only away', async () => {
  const id = await submit(1)
  let movedIds: string[] = []
  let isServed = false
  const { db, log } = at.world
  const watch = startLeavingGpus({
    db,
    log,
    queuePlan: async () => {},
    dispatch: {
      wake: () => {},
      withdraw: async () => {},
      takeBack: async units => {
        movedIds = units.map(({ job_id }) => job_id)
        return []
      }
    },
    metrics: createMetrics(),
    isCaughtUp: () => true,
    slotsOf: queue => (queue === 'cpu' || isServed ? 1 : 0),
    isKnown: () => true,
    onSettled: async () => {},
    awayMs: 2_500
  })
  try {
    await new Promise(resolve => setTimeout(resolve, 1_200))
    // It was there for a moment: the time begins again.
    isServed = true
    await new Promise(resolve => setTimeout(resolve, 1_200))
    isServed = false
    await new Promise(resolve => setTimeout(resolve, 1_200))
    expect(movedIds).toEqual([])
    await vi.waitFor(() => expect(movedIds).toEqual([id]), WAIT)
  } finally {
    await watch.stop()
  }
})
