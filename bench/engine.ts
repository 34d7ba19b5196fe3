import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { startCluster } from '../test/cluster.ts'
import { installPeers, measureBullmq, measureCelery, measureRay } from './engine/peers.ts'
import { describeMachine, spread } from './figures.ts'

/**
 * What a unit costs, against BullMQ by itself, Ray and Celery on the same machine, in turn:
 * `node bench/engine.ts [--units 10000] [--rounds 3] [--workers 4]`. Every result of the cluster is in
 * PostgreSQL. Also ten times the units, and how quickly the API answers while they wait.
 */
const { values } = parseArgs({
  options: {
    units: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '3' },
    workers: { type: 'string', default: '4' }
  }
})
const UNITS = Number(values.units)
const ONE_AT_A_TIME = 300
const tasksDir = join(REPO_DIR, 'bench/engine/tasks')

await installPeers(text => console.log(text))
const env = { LOG_LEVEL: 'warn', SC_TASKS_DIR: tasksDir }
const cluster = await startCluster({ workers: 0, env })
const redisUrl = readMasterFile(dataDir(join(cluster.folder, 'data')))?.redisUrl as string
const figures = {
  'BullMQ, processing': [] as number[],
  'BullMQ, adding and processing': [] as number[],
  'Ray tasks': [] as number[],
  'Ray actor calls': [] as number[],
  Celery: [] as number[],
  cluster: [] as number[]
}
const latencies: Record<string, number[]> = {}
const versions: Record<string, string> = {}
try {
  for (let n = 1; n <= Number(values.workers); n++) await cluster.startWorker(`worker-${n}`)
  await runUnits(500)
  for (let round = 1; round <= Number(values.rounds); round++) {
    const bullmq = await measureBullmq(redisUrl, UNITS)
    figures['BullMQ, processing'].push(bullmq.processing)
    figures['BullMQ, adding and processing'].push(bullmq.throughput)
    const ray = await measureRay(UNITS)
    figures['Ray tasks'].push(ray.throughput)
    figures['Ray actor calls'].push(ray.actorCalls)
    const celery = await measureCelery(redisUrl, Math.min(UNITS, 3_000))
    figures.Celery.push(celery.throughput)
    figures.cluster.push(UNITS / (await runUnits(UNITS)))
    Object.assign(latencies, { BullMQ: bullmq.latencies, Ray: ray.latencies, Celery: celery.latencies })
    latencies.cluster = await oneAtATime()
    Object.assign(versions, { Ray: ray.version, Celery: celery.version })
    console.log(`round ${round}: ${JSON.stringify(mapValues(figures, list => Math.round(list.at(-1) ?? 0)))}`)
  }
  console.log(`${describeMachine()}; Ray ${versions.Ray}, Celery ${versions.Celery}; ${values.workers} workers`)
  console.log('units in a second, median (least to most); cluster / it')
  for (const [name, list] of Object.entries(figures))
    console.log(`  ${name.padEnd(30)} ${spread(list)}  ${ratio(figures.cluster, list)}`)
  console.log('submit to started, one at a time, in ms: p50, p99')
  for (const [name, list] of Object.entries(latencies))
    console.log(`  ${name.padEnd(30)} ${percentile(list, 0.5).toFixed(1)}, ${percentile(list, 0.99).toFixed(1)}`)
  const small = await runUnits(UNITS)
  const large = await runUnits(10 * UNITS)
  console.log(`${10 * UNITS} units take ${(large / small).toFixed(2)} times as long as ${UNITS}`)
  for (const [path, list] of Object.entries(await askWhileManyWait(10 * UNITS)))
    console.log(`  GET ${path}: p95 ${percentile(list, 0.95).toFixed(0)} ms with ${10 * UNITS} units waiting`)
} finally {
  await cluster.stop()
}

async function post(task: string, input: unknown): Promise<string> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ input }) }
  return (await cluster.json<{ jobId: string }>(`/api/tasks/${task}`, init)).jobId
}

/** Seconds from the request to the job's end. */
async function runUnits(units: number): Promise<number> {
  const startMs = performance.now()
  const jobId = await post('noops', { units })
  await finished(jobId, 20)
  return (performance.now() - startMs) / 1000
}

/**
 * From the request to the start that the master wrote down, by the one clock of this machine. Nothing is asked meanwhile.
 */
async function oneAtATime(): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; n < ONE_AT_A_TIME; n++) {
    const sentMs = Date.now()
    const jobId = await post('noop', { n })
    await finished(jobId, 25)
    const { startedAt } = await cluster.json<{ startedAt: string }>(`/api/jobs/${jobId}`)
    times.push(Date.parse(startedAt) - sentMs)
  }
  return times
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

async function askWhileManyWait(units: number): Promise<Record<string, number[]>> {
  for (const name of [...cluster.workers.keys()]) await cluster.stopWorker(name)
  const jobId = await post('noops', { units })
  for (;;) {
    const { units: counts } = await cluster.json<{ units: { total: number } }>(`/api/jobs/${jobId}`)
    if (counts.total === units) break
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  const paths = [
    '/api/jobs',
    `/api/jobs/${jobId}`,
    `/api/jobs/${jobId}/units`,
    `/api/jobs/${jobId}/logs`,
    ...['/api/tasks', '/api/workers', '/api/workers/queues', '/api/workers/stats', '/api/stats'],
    ...['/api/cluster/info', '/api/cluster/health', '/metrics']
  ]
  const times: Record<string, number[]> = {}
  for (const path of paths) {
    const list: number[] = []
    for (let n = 0; n < 40; n++) {
      const startMs = performance.now()
      await (await cluster.api(path)).text()
      list.push(performance.now() - startMs)
    }
    times[path.replace(jobId, '{id}')] = list
  }
  return times
}

function ratio(ours: number[], theirs: number[]): string {
  return ours === theirs
    ? ''
    : spread(
        ours.map((value, at) => value / (theirs[at] ?? Number.NaN)),
        2
      )
}

function percentile(list: number[], part: number): number {
  const sorted = list.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function mapValues<T, R>(record: Record<string, T>, change: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}
