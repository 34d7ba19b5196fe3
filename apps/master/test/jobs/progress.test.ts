import { describe, expect, it } from 'vitest'
import { etaSecondsOf, type JobFigures, progressOf } from '../../src/jobs/progress.ts'
import { taskEtaSeconds } from '../../src/jobs/task-times.ts'

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
  secondsRunning: 10,
  fractionsRunning: 0.5
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
    ['of units that have no length', { secondsTotal: 0, secondsSettled: 0, secondsRunning: 0 }, 0.375],
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

describe('time left of one task', () => {
  const times = { waited: 4, ran: 10 }
  const standing = { isRunning: false, queuedForSeconds: 0, pauseSeconds: 0, runningForSeconds: 0, fraction: 0 }
  it.each([
    ['waits as long as others did, then runs', {}, 14],
    ['has waited already', { queuedForSeconds: 3 }, 11],
    ['has waited longer than others', { queuedForSeconds: 9 }, 10],
    ['is not to run yet', { pauseSeconds: 60 }, 70],
    ['runs', { isRunning: true, runningForSeconds: 6 }, 4],
    ['runs longer than others', { isRunning: true, runningForSeconds: 60 }, 0],
    ['says itself how far it is', { isRunning: true, runningForSeconds: 6, fraction: 0.25 }, 18]
  ] as const)('of one that %s', (_what, change, expected) => {
    expect(taskEtaSeconds({ ...standing, ...change }, times)).toBe(expected)
  })

  it('is unknown of a task that was never done, unless it says itself', () => {
    expect(taskEtaSeconds(standing, undefined)).toBeNull()
    expect(taskEtaSeconds({ ...standing, isRunning: true, runningForSeconds: 1 }, undefined)).toBeNull()
    expect(taskEtaSeconds({ ...standing, isRunning: true, runningForSeconds: 1, fraction: 0.5 }, undefined)).toBe(1)
  })
})
