import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../cluster.ts'
import { MASTER, type TailnetCluster, type UnitView } from './cluster.ts'
import type { TestTailnet } from './tailnet.ts'

export interface TailnetFault {
  name: string
  mustHold: string
  isLong?: boolean
  /** Does it to a cluster whose job has a running unit. */
  run(parts: { tailnet: TestTailnet; cluster: TailnetCluster; jobId: string }): Promise<Recovery>
}

/** Times from the fault's end; null: not seen, or not to be told from what was before. */
export interface Recovery {
  /** To the next word of every worker that was away. Looked at every 4 s at the most. */
  heardMs: number | null
  /** To the next unit that begins or ends there. */
  unitMs: number | null
}

const DAEMON_AWAY_MS = 4_000

export const TAILNET_FAULTS: TailnetFault[] = [
  {
    name: "a worker's tailscaled killed, back 4 s later",
    mustHold: 'same address and name; the worker goes on',
    run: parts => restartDaemon(parts, 'worker1')
  },
  {
    name: "the master's tailscaled killed, back 4 s later",
    mustHold: 'every worker goes on',
    run: parts => restartDaemon(parts, MASTER)
  },
  ...[5, 20, 120].map(
    (seconds): TailnetFault => ({
      name: `the master's link cut for ${seconds} s`,
      mustHold: 'every worker comes back by itself',
      isLong: seconds > 60,
      run: parts => cutLink(parts, MASTER, seconds)
    })
  ),
  {
    name: "a worker's link cut for 20 s",
    mustHold: 'its unit runs elsewhere; it comes back by itself',
    run: parts => cutLink(parts, 'worker1', 20)
  },
  {
    name: 'direct to relayed',
    mustHold: 'units go on through the relay',
    run: async ({ tailnet, cluster, jobId }) => {
      await untilDirect(cluster, true)
      tailnet.hinder('worker1', 'relay', true)
      const atMs = Date.now()
      await untilDirect(cluster, false)
      return { heardMs: null, unitMs: await untilUnit(cluster, jobId, atMs, 'worker1') }
    }
  },
  {
    name: 'relayed to direct',
    mustHold: 'units go on, directly again',
    run: async ({ tailnet, cluster, jobId }) => {
      tailnet.hinder('worker1', 'relay', false)
      const atMs = Date.now()
      await untilDirect(cluster, true)
      return { heardMs: null, unitMs: await untilUnit(cluster, jobId, atMs, 'worker1') }
    }
  }
]

type Parts = Parameters<TailnetFault['run']>[0]

async function restartDaemon({ tailnet, cluster, jobId }: Parts, name: string): Promise<Recovery> {
  await tailnet.stopDaemon(name, 'SIGKILL')
  await sleep(DAEMON_AWAY_MS)
  const atMs = Date.now()
  const [before] = await Promise.all([wordsOf(cluster), tailnet.startDaemon(name)])
  return await untilGoesOn(cluster, jobId, { atMs, before, name })
}

async function cutLink({ tailnet, cluster, jobId }: Parts, name: string, seconds: number): Promise<Recovery> {
  tailnet.hinder(name, 'cut', true)
  await sleep(seconds * 1000)
  const before = await wordsOf(cluster)
  tailnet.hinder(name, 'cut', false)
  return await untilGoesOn(cluster, jobId, { atMs: Date.now(), before, name })
}

interface FaultEnd {
  atMs: number
  /** What workers had said by then. */
  before: Map<string, string>
  name: string
}

async function untilGoesOn(
  cluster: TailnetCluster,
  jobId: string,
  { atMs, before, name }: FaultEnd
): Promise<Recovery> {
  const heard = untilHeard(cluster, before, name).then(() => Date.now() - atMs)
  const [heardMs, unitMs] = await Promise.all([heard, untilUnit(cluster, jobId, atMs, name)])
  return { heardMs, unitMs }
}

/** The newest word of each worker: what it says of its load and of the way to Redis is another each time. */
async function wordsOf(cluster: TailnetCluster): Promise<Map<string, string>> {
  const { items } = await cluster.json<{ items: WorkerWords[] }>('/api/workers')
  return new Map(items.map(({ name, cpu, ram, brokerRttMs }) => [name, JSON.stringify([cpu, ram, brokerRttMs])]))
}

interface WorkerWords {
  name: string
  cpu: unknown
  ram: unknown
  brokerRttMs: number
}

async function untilHeard(cluster: TailnetCluster, before: Map<string, string>, name: string): Promise<void> {
  const away = name === MASTER ? [...before.keys()] : [name]
  await until(`${away.join(', ')} said something new`, 120_000, async () => {
    const now = await wordsOf(cluster)
    return away.every(worker => now.get(worker) !== before.get(worker))
  })
}

/** Until a unit begins or ends, on the worker that was away, or on any when it was the master. */
async function untilUnit(
  cluster: TailnetCluster,
  jobId: string,
  sinceMs: number,
  name: string
): Promise<number | null> {
  const workerId = name === MASTER ? null : await cluster.workerIdOf(name)
  let heardMs: number | null = null
  await until('a unit begins or ends', 120_000, async () => {
    const units = await cluster.units(jobId)
    const times = units.filter(unit => !workerId || unit.workerId === workerId).flatMap(timesOf)
    const after = times.filter(timeMs => timeMs >= sinceMs)
    if (after.length > 0) heardMs = Math.min(...after) - sinceMs
    return heardMs !== null || units.every(({ status }) => status === 'DONE')
  })
  return heardMs
}

const timesOf = ({ startedAt, finishedAt }: UnitView): number[] =>
  [startedAt, finishedAt].filter(time => time !== null).map(time => Date.parse(time))

/** The way from the master to worker1, as the topology draws it. */
async function untilDirect(cluster: TailnetCluster, direct: boolean): Promise<void> {
  const workerId = await cluster.workerIdOf('worker1')
  await until(`worker1 is reached ${direct ? 'directly' : 'through the relay'}`, 60_000, async () => {
    const { edges } = await cluster.json<{ edges: { from: string; direct: boolean | null }[] }>('/api/cluster/topology')
    return edges.find(({ from }) => from === workerId)?.direct === direct
  })
}
