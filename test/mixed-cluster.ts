import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { createFakeSmi, type FakeCard, type FakeSmi } from '../apps/worker/test/fixtures/fake-smi.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

/**
 * Four workers with GPUs of 24, 8, 4 and no GB, each with an nvidia-smi of its own that tells of its card, and the tasks
 * of `fixtures/waits.py`, which need 20, 7, 4 and no GB: for tests and `pnpm verify:mixed`.
 */
export interface MixedCluster extends Cluster {
  /** What each worker is told of its GPU, by the worker's name. */
  smiOf(worker: string): FakeSmi
}

const WORKERS = ['large', 'middle', 'small', 'none']
export const CARDS: Record<string, FakeCard> = {
  large: { index: 0, uuid: 'GPU-large', totalGb: 24 },
  middle: { index: 0, uuid: 'GPU-middle', totalGb: 8 },
  small: { index: 0, uuid: 'GPU-small', totalGb: 4 }
}
/** Each task, most demanding first, and the slots that can hold it. */
export const ABLE: Record<string, string[]> = {
  'wait-20': ['large/gpu0'],
  'wait-7': ['large/gpu0', 'middle/gpu0'],
  'wait-4': ['large/gpu0', 'middle/gpu0', 'small/gpu0'],
  'wait-none': WORKERS.map(name => `${name}/cpu0`)
}
export const TASKS = Object.keys(ABLE)
const RUN_MS = 150

/** A unit that is done: when it was queued by PostgreSQL's clock, and when it ran by its own, both of this machine. */
export interface Ran {
  task: string
  slot: string
  /** How often it was begun. */
  tries: number
  queuedMs: number
  startedMs: number
  endedMs: number
}

export async function startMixedCluster(): Promise<MixedCluster> {
  const cluster = await startCluster({ workers: 0, tasksDir: true })
  const smis = new Map(WORKERS.map(name => [name, createFakeSmi()]))
  const smiOf = (name: string) => smis.get(name) as FakeSmi
  try {
    await cp(join(import.meta.dirname, 'fixtures/waits.py'), join(cluster.folder, 'tasks/waits.py'))
    for (const [name, card] of Object.entries(CARDS)) smiOf(name).setCards([card])
    await Promise.all(WORKERS.map(name => cluster.startWorker(name, [], { PATH: smiOf(name).path })))
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return Object.assign(cluster, { smiOf })
}

/** Answers the job's id; it has one unit. */
export async function sendUnit(cluster: Cluster, task: string, priority = 50): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ input: { ms: RUN_MS }, priority })
  return (await cluster.json<{ jobId: string }>(`/api/tasks/${task}`, { method: 'POST', headers, body })).jobId
}

export async function runUnits(cluster: Cluster, tasks: string[]): Promise<Ran[]> {
  return await ranUnits(cluster, await Promise.all(tasks.map(task => sendUnit(cluster, task))))
}

/** Rounds of one to three units, each after a pause in which every slot waits. The same at each call. */
export async function runOneByOne(cluster: Cluster, rounds: number): Promise<Ran[]> {
  const ran: Ran[] = []
  for (let round = 0; round < rounds; round++) {
    const tasks = Array.from({ length: 1 + (round % 3) }, (_, at) => TASKS[(round * 3 + at) % TASKS.length] as string)
    ran.push(...(await runUnits(cluster, tasks)))
    // Slots look by themselves now and then: the pauses meet every moment in between.
    await new Promise(resolve => setTimeout(resolve, (round * 97) % 300))
  }
  return ran
}

interface UnitView {
  task: string
  status: string
  attempts: number
  crashes: number
  workerId: string
  slot: string
  startedAt: string
  timingsMs: { waited: number }
}

/** Waits until the units of these jobs are done. */
export async function ranUnits(cluster: Cluster, jobIds: string[]): Promise<Ran[]> {
  const { items } = await cluster.json<{ items: Array<{ id: string; name: string }> }>('/api/workers')
  const nameOf = new Map(items.map(({ id, name }) => [id, name]))
  const ran: Ran[] = []
  for (const jobId of jobIds) {
    const { task, attempts, crashes, workerId, slot, startedAt, timingsMs } = await doneUnit(cluster, jobId)
    const { output } = await cluster.json<{ output: Pick<Ran, 'startedMs' | 'endedMs'> }>(`/api/jobs/${jobId}/result`)
    ran.push({
      task,
      slot: `${nameOf.get(workerId)}/${slot}`,
      tries: 1 + attempts + crashes,
      queuedMs: Date.parse(startedAt) - timingsMs.waited,
      ...output
    })
  }
  return ran.sort((a, b) => a.startedMs - b.startedMs)
}

async function doneUnit(cluster: Cluster, jobId: string): Promise<UnitView> {
  let unit: UnitView | undefined
  await until(`the unit of job ${jobId} is done`, 60_000, async () => {
    const { items } = await cluster.json<{ items: UnitView[] }>(`/api/jobs/${jobId}/units`)
    unit = items.find(({ status }) => status === 'DONE')
    return unit !== undefined
  })
  return unit as UnitView
}

/**
 * How long, in ms, each slot ran nothing at a stretch while some unit waited that it could have run. `ran`: all the units
 * of that time, by their starts.
 */
export function idleStretches(ran: Ran[]): number[] {
  return [...new Set(Object.values(ABLE).flat())].flatMap(slot => {
    const own = ran.filter(one => one.slot === slot)
    const able = ran.filter(({ task }) => ABLE[task]?.includes(slot)).sort((a, b) => a.queuedMs - b.queuedMs)
    const gaps = [...own, undefined].map((next, at) => ({
      from: own[at - 1]?.endedMs ?? Number.NEGATIVE_INFINITY,
      to: next?.startedMs ?? Number.POSITIVE_INFINITY
    }))
    return gaps.flatMap(gap => waitsWithin(gap, able))
  })
}

interface Stretch {
  from: number
  to: number
}

/** Lengths of the stretches of a gap in which one unit or another waited; `units` in the order they were queued. */
function waitsWithin(gap: Stretch, units: Ran[]): number[] {
  const joined: Stretch[] = []
  for (const { queuedMs, startedMs } of units) {
    const from = Math.max(gap.from, queuedMs)
    const to = Math.min(gap.to, startedMs)
    const last = joined.at(-1)
    if (to <= from) continue
    if (last && from <= last.to) last.to = Math.max(last.to, to)
    else joined.push({ from, to })
  }
  return joined.map(({ from, to }) => to - from)
}
