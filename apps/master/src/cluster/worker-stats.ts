import type { WorkerRow } from './presence.ts'

/** What all workers together are; machines that are off are counted, and nothing of them. */
export interface WorkerStats {
  workers: Record<WorkerRow['status'] | 'total', number>
  /** How many slots are in each state. */
  slots: { total: number; running: number; idle: number; other: number }
  gpus: { total: number; vramTotalGb: number; vramUsedGb: number }
  cpu: { cores: number; threads: number }
  ram: { totalGb: number; availableGb: number }
  /** Since each worker's start. */
  units: { done: number; failed: number }
}

export function countWorkers(workers: WorkerRow[]): WorkerStats {
  const there = workers.filter(({ status }) => status !== 'offline')
  const slots = there.flatMap(worker => worker.slots)
  const gpus = there.flatMap(worker => worker.gpus)
  const withStatus = (status: WorkerRow['status']) => workers.filter(worker => worker.status === status).length
  const running = slots.filter(({ state }) => state === 'running').length
  const idle = slots.filter(({ state }) => state === 'idle').length
  return {
    workers: {
      total: workers.length,
      online: withStatus('online'),
      draining: withStatus('draining'),
      offline: withStatus('offline')
    },
    slots: { total: slots.length, running, idle, other: slots.length - running - idle },
    gpus: {
      total: gpus.length,
      vramTotalGb: sum(gpus, gpu => gpu.vramTotalGb),
      vramUsedGb: sum(gpus, gpu => gpu.vramUsedGb)
    },
    cpu: { cores: sum(there, ({ cpu }) => cpu.cores), threads: sum(there, ({ cpu }) => cpu.threads) },
    ram: { totalGb: sum(there, ({ ram }) => ram.totalGb), availableGb: sum(there, ({ ram }) => ram.availableGb) },
    units: {
      done: sum(there, ({ figures }) => figures.unitsDone),
      failed: sum(there, ({ figures }) => figures.unitsFailed)
    }
  }
}

/** In hundredths. */
function sum<T>(items: T[], value: (item: T) => number): number {
  return Math.round(items.reduce((total, item) => total + value(item), 0) * 100) / 100
}
