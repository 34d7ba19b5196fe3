import type { ErrorCode } from '@sc/shared/errors.ts'
import type { Timings } from '@sc/shared/unit.ts'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { WorkerRow } from './cluster/presence.ts'
import type { Database, JobStatus } from './database/schema.ts'
import { readOpenJobs, readOpenUnits, totalOf } from './jobs/open-counts.ts'

/** The figures of `GET /metrics`: this master's own, what PostgreSQL counts, and what each worker says of itself. */
export interface Metrics {
  /** Prometheus text. */
  text(): Promise<string>
  readonly contentType: string
  unitFinished(task: string, timings: Timings): void
  unitFailed(task: string, code: ErrorCode): void
  jobFinished(task: string, status: JobStatus): void
  /** A worker wrote something that is no message, or of a unit that it was not given. */
  messageRefused(): void
  requestFinished(method: string, route: string, status: number, seconds: number): void
  /** Where counts and workers are looked up whenever the figures are read. */
  watch(sources: MetricSources): void
}

export interface MetricSources {
  db: Database
  workers(): WorkerRow[]
}

const REQUEST_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
/** From a unit that does nothing to a chunk on a slow CPU. */
const UNIT_SECONDS = [0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900]
const PHASES = ['waited', 'fetched', 'ran', 'reported'] as const

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'sc_master_' })
  const shared = { registers: [registry] }
  const phases = new Histogram({
    ...shared,
    name: 'sc_unit_phase_seconds',
    help: 'Where the time of finished units went: waited in the queue, fetched its input, ran, reported its result.',
    labelNames: ['task', 'phase'],
    buckets: UNIT_SECONDS
  })
  const failed = new Counter({
    ...shared,
    name: 'sc_units_failed_total',
    help: 'Units that failed for good, by the code of their error.',
    labelNames: ['task', 'code']
  })
  const refused = new Counter({
    ...shared,
    name: 'sc_messages_refused_total',
    help: 'Messages of workers that are none, or are of units that they were not given.'
  })
  const ended = new Counter({
    ...shared,
    name: 'sc_jobs_finished_total',
    help: 'Jobs that ended, by how they ended.',
    labelNames: ['task', 'status']
  })
  const requests = new Histogram({
    ...shared,
    name: 'sc_http_request_seconds',
    help: 'Time from a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: REQUEST_SECONDS
  })

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    unitFinished: (task, timings) => {
      for (const phase of PHASES) phases.observe({ task, phase }, timings[phase] / 1000)
    },
    unitFailed: (task, code) => failed.inc({ task, code }),
    messageRefused: () => refused.inc(),
    jobFinished: (task, status) => ended.inc({ task, status }),
    requestFinished: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    watch: sources => {
      addCounts(registry, sources.db)
      addWorkers(registry, sources.workers)
    }
  }
}

/** Without an answer of PostgreSQL the counts are left out, and `sc_postgres_up` says why. */
function addCounts(registry: Registry, db: Database): void {
  const registers = [registry]
  const look = async () => {
    try {
      const [jobs, units] = await Promise.all([readOpenJobs(db), readOpenUnits(db)])
      return { jobs, units: totalOf(units) }
    } catch {
      return null
    }
  }
  // Every figure is read at the same moment, in no order: they share one look.
  let looking: ReturnType<typeof look> | undefined
  const share = () => {
    looking ??= look().finally(() => {
      looking = undefined
    })
    return looking
  }
  const count = (table: 'jobs' | 'units', help: string) =>
    new Gauge({
      registers,
      name: `sc_${table}_open`,
      help,
      labelNames: ['status'],
      async collect() {
        this.reset()
        for (const [status, count] of Object.entries((await share())?.[table] ?? {})) this.set({ status }, count)
      }
    })
  count('jobs', 'Jobs that have not ended.')
  count('units', 'Units that are queued or running.')
  new Gauge({
    registers,
    name: 'sc_postgres_up',
    help: '1: PostgreSQL answered this scrape.',
    async collect() {
      this.set((await share()) ? 1 : 0)
    }
  })
}

function addWorkers(registry: Registry, workers: () => WorkerRow[]): void {
  const labels = (row: WorkerRow) => ({ worker: row.id, name: row.name })
  const gauge = (name: string, help: string, value: (row: WorkerRow) => number) =>
    new Gauge({
      registers: [registry],
      name,
      help,
      labelNames: ['worker', 'name'],
      collect() {
        this.reset()
        for (const row of workers()) this.set(labels(row), value(row))
      }
    })
  gauge('sc_worker_up', '1: the worker says it is there.', row => (row.status === 'offline' ? 0 : 1))
  gauge('sc_worker_slots', 'Slots of the worker.', row => row.slots.length)
  gauge('sc_worker_slots_running', 'Slots that run a unit.', row => row.slots.filter(isRunning).length)
  gauge('sc_worker_units_done', 'Units done since the worker started.', row => row.figures.unitsDone)
  gauge('sc_worker_units_failed', 'Attempts failed since the worker started.', row => row.figures.unitsFailed)
  gauge('sc_worker_rss_bytes', 'Memory of the worker process.', row => row.figures.rssBytes)
  gauge('sc_worker_python_rss_bytes', 'Memory of its Python processes.', row => row.figures.pythonRssBytes)
  gauge('sc_worker_cpu_load', 'Load of the machine.', row => row.cpu.load)
  gauge('sc_worker_ram_available_gb', 'Memory that is free on the machine.', row => row.ram.availableGb)
  const gpu = (name: string, help: string, value: (card: WorkerRow['gpus'][number]) => number | null) =>
    new Gauge({
      registers: [registry],
      name,
      help,
      labelNames: ['worker', 'name', 'gpu'],
      collect() {
        this.reset()
        for (const row of workers().filter(({ status }) => status !== 'offline'))
          for (const card of row.gpus) {
            const figure = value(card)
            if (figure !== null) this.set({ ...labels(row), gpu: `${card.index}` }, figure)
          }
      }
    })
  gpu('sc_worker_gpu_vram_used_gb', 'Graphics memory in use.', card => card.vramUsedGb)
  gpu('sc_worker_gpu_vram_total_gb', 'Graphics memory of the card.', card => card.vramTotalGb)
  gpu('sc_worker_gpu_utilization', 'How busy the card is, in percent.', card => card.utilization)
  gpu('sc_worker_gpu_temperature_celsius', 'Temperature of the card.', card => card.temperatureC)
}

function isRunning({ state }: WorkerRow['slots'][number]): boolean {
  return state === 'running'
}
