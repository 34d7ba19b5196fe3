import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOOK_MS } from '../apps/master/src/transport/match.ts'
import { until } from './cluster.ts'
import {
  ABLE,
  CARDS,
  idleStretches,
  type MixedCluster,
  type Ran,
  ranUnits,
  runOneByOne,
  runUnits,
  sendUnit,
  startMixedCluster,
  TASKS
} from './mixed-cluster.ts'

interface WorkerView {
  id: string
  name: string
  status: string
  slots: Array<{ id: string; state: string; reason: string | null }>
}

/** How long a slot is idle beside a unit is measured by `pnpm verify:mixed`. */
describe('a cluster of 24 GB, 8 GB, 4 GB and no GPU', () => {
  let cluster: MixedCluster
  beforeAll(async () => {
    cluster = await startMixedCluster()
  })
  afterAll(() => cluster?.stop())

  async function workers(): Promise<WorkerView[]> {
    return (await cluster.json<{ items: WorkerView[] }>('/api/workers')).items
  }

  async function tell(order: 'drain' | 'resume', names: string[]): Promise<void> {
    const told = (await workers()).filter(({ name }) => names.includes(name))
    for (const { id } of told) await cluster.json(`/api/workers/${id}/${order}`, { method: 'POST' })
    const status = order === 'drain' ? 'draining' : 'online'
    await until(`${names} are ${status}`, 20_000, async () =>
      (await workers()).every(one => !names.includes(one.name) || one.status === status)
    )
  }

  /** Each ran once, where it fits, and alone on its slot. */
  function expectSound(ran: Ran[]): void {
    for (const { task, slot, tries } of ran) {
      expect(ABLE[task]).toContain(slot)
      expect(tries).toBe(1)
    }
    for (const units of Map.groupBy(ran, one => one.slot).values())
      for (const [at, { startedMs }] of units.entries())
        expect(startedMs).toBeGreaterThanOrEqual(units[at - 1]?.endedMs ?? 0)
  }

  it('runs many units at once on every slot, each where it fits', async () => {
    const ran = await runUnits(
      cluster,
      TASKS.flatMap(task => Array.from({ length: 10 }, () => task))
    )
    expectSound(ran)
    expect(new Set(ran.map(one => one.slot))).toEqual(new Set(Object.values(ABLE).flat()))
  })

  it('wakes a slot for each unit that comes after a pause', async () => {
    const ran = await runOneByOne(cluster, 25)
    expectSound(ran)
    // One that overlooked its unit looks by itself after this at the latest, half of it on average.
    expect(Math.max(...idleStretches(ran))).toBeLessThan(LOOK_MS / 2)
  })

  it('runs a higher priority first, whatever queues it and the others are in', async () => {
    const gpus = Object.keys(CARDS)
    await tell('drain', gpus)
    const jobs: string[] = []
    for (const [task, priority] of [
      ['wait-20', 50],
      ['wait-7', 60],
      ['wait-4', 70]
    ] as const)
      for (let count = 0; count < 3; count++) jobs.push(await sendUnit(cluster, task, priority))
    await tell('resume', ['large'])
    const ran = await ranUnits(cluster, jobs)
    expect(ran.map(({ slot, task }) => `${slot} ${task}`)).toEqual(
      ['wait-4', 'wait-7', 'wait-20'].flatMap(task => Array.from({ length: 3 }, () => `large/gpu0 ${task}`))
    )
    await tell('resume', gpus)
  })

  it('leaves a GPU to its owner, says so, and takes it up again', async () => {
    const { uuid } = CARDS.large as { uuid: string }
    const slotIs = (state: string) =>
      until(`the GPU of large is ${state}`, 30_000, async () => {
        const slot = (await workers()).find(({ name }) => name === 'large')?.slots.find(({ id }) => id === 'gpu0')
        return slot?.state === state && (state !== 'reserved' || /^GPU 0 is used by process 1 /.test(slot.reason ?? ''))
      })
    await slotIs('idle')
    // A process of nobody's here.
    cluster.smiOf('large').setProcesses([{ gpuUuid: uuid, pid: 1, usedGb: 5 }])
    await slotIs('reserved')
    const waiting = await sendUnit(cluster, 'wait-20')
    // Those that others can run, or the machine's CPU, go on.
    const ran = await runUnits(cluster, ['wait-7', 'wait-4', ...Array.from({ length: 4 }, () => 'wait-none')])
    expect(ran.map(one => one.slot)).not.toContain('large/gpu0')
    expect(await cluster.json(`/api/jobs/${waiting}`)).toMatchObject({ status: 'PENDING' })
    cluster.smiOf('large').setProcesses([])
    expect(await ranUnits(cluster, [waiting])).toMatchObject([{ slot: 'large/gpu0', tries: 1 }])
  })
})
