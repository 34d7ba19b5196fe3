import { describe, expect, it } from 'vitest'
import type { WorkerRow } from '../../src/cluster/presence.ts'
import { etaSecondsOf, type JobFigures, progressOf } from '../../src/jobs/progress.ts'
import { type Waiting, waitingForOf } from '../../src/jobs/waiting-for.ts'

const FIGURES: JobFigures = {
  status: 'RUNNING',
  planned: true,
  shown: 0,
  durationSeconds: 100,
  runningForSeconds: 10,
  units: { total: 4, done: 1, running: 1, failed: 0 },
  secondsTotal: 80,
  secondsSettled: 20,
  secondsWorked: 20,
  secondsRunning: 10
}
const figures = (change: Partial<JobFigures>): JobFigures => ({ ...FIGURES, ...change })

describe('progress', () => {
  it.each([
    ['of what was planned', {}, 0.375],
    ['of the length while planning goes on', { planned: false }, 0.3],
    ['of what is known when the header lies', { planned: false, durationSeconds: 1 }, 0.375],
    ['nothing while nobody knows the length', { planned: false, durationSeconds: null }, 0],
    ['not less than was shown', { shown: 0.7 }, 0.7],
    ['never whole while it is open', { secondsSettled: 80, secondsRunning: 0 }, 0.99],
    ['of units that have no length', { secondsTotal: 0, secondsSettled: 0, secondsRunning: 0 }, 0.25],
    ['whole when it is done', { status: 'COMPLETED', secondsSettled: 0 }, 1],
    ['where it was when it failed', { status: 'FAILED', shown: 0.4 }, 0.4]
  ] as const)('%s', (_what, change, expected) => {
    expect(progressOf(figures(change))).toBe(expected)
  })
})

describe('time left', () => {
  it('is what is left at the speed so far', () => {
    // 30 s of audio in 10 s, 50 s left.
    expect(etaSecondsOf(FIGURES)).toBe(17)
  })

  it('does not count what was taken over from an earlier job as speed', () => {
    expect(etaSecondsOf(figures({ secondsSettled: 40, secondsWorked: 0 }))).toBe(30)
  })

  it.each([
    ['not begun', { status: 'PENDING' }],
    ['over', { status: 'COMPLETED' }],
    ['just begun', { secondsWorked: 0, secondsRunning: 1 }],
    ['of unknown length', { planned: false, durationSeconds: null }]
  ] as const)('is unknown when the job is %s', (_what, change) => {
    expect(etaSecondsOf(figures({ secondsTotal: 0, ...change }))).toBeNull()
  })
})

describe('what a job waits for', () => {
  const queued: Waiting = {
    status: 'PENDING',
    planned: true,
    units: { total: 1, done: 0, running: 0, failed: 0 },
    queuedOn: 'cpu',
    queuePosition: 0
  }
  const worker = (name: string, change: Partial<WorkerRow> = {}): WorkerRow =>
    ({ name, status: 'online', queues: ['cpu'], gpus: [], slots: [slot('idle')], ...change }) as WorkerRow
  const slot = (state: WorkerRow['slots'][number]['state']) => ({
    id: 's',
    device: 'cpu',
    state,
    unitId: null,
    reason: null
  })
  const card = (vramTotalGb: number) => ({ vramTotalGb }) as WorkerRow['gpus'][number]

  it.each<[string | null, Partial<Waiting>, WorkerRow[]]>([
    ['waits for a worker: none is online', {}, [worker('off', { status: 'offline' })]],
    ['waits for a worker: desk is draining', {}, [worker('desk', { status: 'draining' })]],
    ['waits for a worker on queue cpu: none of the 1 online serves it', {}, [worker('desk', { queues: ['gpu'] })]],
    ['waits for a GPU: no worker that is online has one', { queuedOn: 'gpu' }, [worker('desk')]],
    [
      'waits for a GPU with 8 GB: the largest online has 6 GB (desk-2)',
      { queuedOn: 'gpu.vram8' },
      [worker('desk-1', { gpus: [card(4)] }), worker('desk-2', { gpus: [card(6)] })]
    ],
    ['waits behind 3 jobs on queue cpu', { queuePosition: 3 }, [worker('desk')]],
    ['waits for one of 1 slot on queue cpu', {}, [worker('desk', { slots: [slot('running')] })]],
    [
      'waits for a slot on queue cpu: all of them are out of service',
      {},
      [worker('desk', { slots: [slot('out-of-service')] })]
    ],
    [
      'waits to be planned',
      { planned: false, queuedOn: null, units: { total: 0, done: 0, running: 0, failed: 0 } },
      []
    ],
    [null, {}, [worker('desk')]],
    [null, { units: { total: 2, done: 0, running: 1, failed: 0 } }, []],
    [null, { status: 'COMPLETED' }, []]
  ])('%s', (expected, change, workers) => {
    expect(waitingForOf({ ...queued, ...change }, workers)).toBe(expected)
  })
})
