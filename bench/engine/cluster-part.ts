import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import type * as clusters from '../../test/cluster.ts'

/** A cluster of one checkout, and what is measured of it. */
export interface ClusterPart {
  redisUrl: string
  /** Seconds from the request for one job of so many units to its end. */
  runUnits(units: number): Promise<number>
  /** From requests, one after the other, to their starts, in ms. */
  oneAtATime(count: number): Promise<number[]>
  /** Stops the workers; ms that each GET takes while so many units of one job and JOBS further jobs wait. */
  askWhileManyWait(units: number): Promise<Record<string, number[]>>
  stop(): Promise<void>
}

const JOBS = 1_000
const TIMES = 40

/** `repo`: a checkout with its dependencies installed, this one or another. */
export async function startClusterPart(repo: string, workers: number): Promise<ClusterPart> {
  const { startCluster }: typeof clusters = await import(pathToFileURL(join(repo, 'test/cluster.ts')).href)
  const env = { LOG_LEVEL: 'warn', SC_TASKS_DIR: join(repo, 'bench/engine/tasks') }
  const cluster = await startCluster({ workers, env })
  const redisUrl = readMasterFile(dataDir(join(cluster.folder, 'data')))?.redisUrl as string

  async function post(task: string, input: unknown): Promise<string> {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ input }) }
    return (await cluster.json<{ jobId: string }>(`/api/tasks/${task}`, init)).jobId
  }

  /** Asks in the cheapest way: the cluster is to be measured, not the asking. */
  async function finished(jobId: string, everyMs: number): Promise<void> {
    for (;;) {
      await new Promise(resolve => setTimeout(resolve, everyMs))
      const answer = await cluster.api(`/api/jobs/${jobId}/result`)
      const text = await answer.text()
      if (answer.status === 200) return
      if (answer.status !== 409) throw new Error(text)
    }
  }

  async function wait(units: number): Promise<string> {
    for (const name of [...cluster.workers.keys()]) await cluster.stopWorker(name)
    for (let n = 0; n < JOBS; n++) await post('noop', { n })
    const jobId = await post('noops', { units })
    for (;;) {
      const { units: counts } = await cluster.json<{ units: { total: number } }>(`/api/jobs/${jobId}`)
      if (counts.total === units) return jobId
      await new Promise(resolve => setTimeout(resolve, 200))
    }
  }

  return {
    redisUrl,
    runUnits: async units => {
      const startMs = performance.now()
      await finished(await post('noops', { units }), 20)
      return (performance.now() - startMs) / 1000
    },
    oneAtATime: async count => {
      const times: number[] = []
      for (let n = 0; n < count; n++) {
        const sentMs = Date.now()
        const jobId = await post('noop', { n })
        // By the one clock of this machine. Nothing is asked meanwhile.
        await finished(jobId, 25)
        const { startedAt } = await cluster.json<{ startedAt: string }>(`/api/jobs/${jobId}`)
        times.push(Date.parse(startedAt) - sentMs)
      }
      return times
    },
    askWhileManyWait: async units => {
      const jobId = await wait(units)
      const times: Record<string, number[]> = {}
      for (const path of pathsFor(jobId)) {
        const list: number[] = []
        for (let n = 0; n < TIMES; n++) {
          const startMs = performance.now()
          await (await cluster.api(path)).text()
          list.push(performance.now() - startMs)
        }
        times[path.replace(jobId, '{id}')] = list
      }
      return times
    },
    stop: () => cluster.stop()
  }
}

function pathsFor(jobId: string): string[] {
  return [
    ...[
      '/api/jobs',
      '/api/jobs?limit=100',
      '/api/jobs?status=PENDING',
      '/api/jobs?status=FAILED',
      '/api/jobs?task=noop'
    ],
    ...[`/api/jobs/${jobId}`, `/api/jobs/${jobId}/units?limit=1000`, `/api/jobs/${jobId}/logs`],
    ...['/api/tasks', '/api/schedules', '/api/workers', '/api/workers/queues', '/api/workers/stats', '/api/stats'],
    ...['/api/cluster/info', '/api/cluster/health', '/api/cluster/topology', '/api/cluster/doctor', '/metrics']
  ]
}
