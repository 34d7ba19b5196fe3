import { readdir, readFile } from 'node:fs/promises'
import { type Cluster, until } from '../test/cluster.ts'

/**
 * One fault each, done to a running cluster while it transcribes. `run` answers how long the cluster took to go on, in
 * ms, or null where there is nothing to wait for; the caller compares the text with that of an undisturbed run.
 */
export interface Scenario {
  name: string
  mustHold: string
  /** Length of a chunk: one chunk leaves the other worker idle. */
  chunkSeconds: number
  run(cluster: Cluster, jobId: string): Promise<number | null>
}

interface WorkerView {
  id: string
  name: string
  status: string
}

export interface UnitView {
  unitId: string
  task: string
  status: string
  crashes: number
  workerId: string | null
  startedAt: string | null
  finishedAt: string | null
}

export const SCENARIOS: Scenario[] = [
  {
    name: 'worker `kill -9` in mid chunk',
    mustHold: 'its unit runs on another worker within 8 s',
    chunkSeconds: 900,
    run: async (cluster, jobId) => {
      const { unit, worker } = await runningUnit(cluster, jobId)
      const killedMs = performance.now()
      await cluster.stopWorker(worker.name, 'SIGKILL')
      await untilElsewhere(cluster, jobId, unit)
      const recoveredMs = performance.now() - killedMs
      await cluster.startWorker(worker.name)
      return recoveredMs
    }
  },
  {
    name: 'Python process `kill -9` in mid chunk',
    mustHold: 'the unit is tried again, the worker stays',
    chunkSeconds: 30,
    run: async (cluster, jobId) => {
      const { unit, worker } = await runningUnit(cluster, jobId)
      const process_ = cluster.workers.get(worker.name)
      const [child] = await childrenOf(process_?.pid as number)
      const killedMs = performance.now()
      process.kill(child as number, 'SIGKILL')
      await until(`unit ${unit.unitId} is tried again`, 60_000, async () => {
        const now = (await unitsOf(cluster, jobId)).find(({ unitId }) => unitId === unit.unitId)
        return now !== undefined && now.crashes > unit.crashes && now.status !== 'QUEUED'
      })
      const recoveredMs = performance.now() - killedMs
      if (process_?.exitCode !== null) throw new Error(`worker ${worker.name} ended with its Python process`)
      return recoveredMs
    }
  },
  {
    name: 'master `kill -9` while planning',
    mustHold: 'after its restart the job completes',
    chunkSeconds: 30,
    run: async cluster => await restartMaster(cluster)
  },
  {
    name: 'master `kill -9` while units run',
    mustHold: 'after its restart the job completes',
    chunkSeconds: 30,
    run: async (cluster, jobId) => {
      await runningUnit(cluster, jobId)
      return await restartMaster(cluster)
    }
  },
  {
    name: 'worker frozen for 15 s, then woken',
    mustHold: 'one result; its unit ran elsewhere meanwhile',
    chunkSeconds: 900,
    run: async (cluster, jobId) => {
      const { unit, worker } = await runningUnit(cluster, jobId)
      const frozen = cluster.workers.get(worker.name)
      const frozenMs = performance.now()
      frozen?.kill('SIGSTOP')
      try {
        await untilElsewhere(cluster, jobId, unit)
        const recoveredMs = performance.now() - frozenMs
        await new Promise(resolve => setTimeout(resolve, Math.max(0, 15_000 - recoveredMs)))
        return recoveredMs
      } finally {
        frozen?.kill('SIGCONT')
      }
    }
  }
]

/** Waits until a chunk of the job runs. */
export async function runningUnit(cluster: Cluster, jobId: string): Promise<{ unit: UnitView; worker: WorkerView }> {
  let unit: UnitView | undefined
  await until('a chunk runs', 60_000, async () => {
    unit = (await unitsOf(cluster, jobId)).find(({ status }) => status === 'RUNNING')
    return unit !== undefined
  })
  const { items } = await cluster.json<{ items: WorkerView[] }>('/api/workers')
  const worker = items.find(({ id }) => id === unit?.workerId)
  if (!unit || !worker) throw new Error(`unit ${unit?.unitId} runs on a worker that is not known`)
  return { unit, worker }
}

async function untilElsewhere(cluster: Cluster, jobId: string, unit: UnitView): Promise<void> {
  await until(`unit ${unit.unitId} runs elsewhere`, 60_000, async () => {
    const now = (await unitsOf(cluster, jobId)).find(({ unitId }) => unitId === unit.unitId)
    return now?.workerId !== unit.workerId
  })
}

export async function unitsOf(cluster: Cluster, jobId: string): Promise<UnitView[]> {
  return (await cluster.json<{ items: UnitView[] }>(`/api/jobs/${jobId}/units`)).items
}

async function restartMaster(cluster: Cluster): Promise<number> {
  const gone = new Promise(resolve => cluster.master.once('exit', resolve))
  cluster.master.kill('SIGKILL')
  await gone
  const restartMs = performance.now()
  await cluster.startMaster()
  return performance.now() - restartMs
}

/** Pids of a process's children (Linux). */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(threads.map(thread => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')))
  return lists.flatMap(list => list.trim().split(' ').filter(Boolean).map(Number))
}
