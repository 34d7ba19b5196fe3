import type { WorkerRow } from '../cluster/presence.ts'
import { slotsFor } from '../cluster/slots-for.ts'
import type { JobFigures } from './progress.ts'
import { type LackingTask, waitingForWorker } from './waiting-for-worker.ts'

export interface Waiting extends Pick<JobFigures, 'status' | 'planned' | 'units'> {
  /** A queued unit of the job, one that may run now if there is one; null: none is queued. */
  next: QueuedUnit | null
  queuePosition: number | null
}

export interface QueuedUnit {
  queue: string
  /** Not to run before this; null: at once. */
  notBefore: Date | null
  /** Until then; not above 0: it may run. */
  pauseSeconds: number
  attempts: number
  maxAttempts: number
  /** What its last attempt said. */
  error: string | null
}

/**
 * Why nothing of a job is being done just now, in one sentence; null: something is, or it has ended. `tasks`: by name, those
 * that no known worker can run.
 */
export function waitingForOf(
  job: Waiting,
  workers: WorkerRow[],
  tasks: ReadonlyMap<string, LackingTask> = new Map()
): string | null {
  if ((job.status !== 'PENDING' && job.status !== 'RUNNING') || job.units.running > 0) return null
  const { next } = job
  if (next === null) return waitingForMaster(job)
  const online = workers.filter(({ status }) => status === 'online')
  const able = online.filter(({ queues }) => queues.includes(next.queue))
  if (next.pauseSeconds > 0) return waitingForTime(next)
  if (able.length === 0) return waitingForWorker(next.queue, workers, tasks)
  return waitingForSlot(next.queue, able, job.queuePosition ?? 0)
}

function waitingForMaster({ planned, queuePosition, units }: Waiting): string | null {
  if (planned) return units.total > 0 ? 'waits for its results to be put together' : null
  if (units.total > 0) return null
  const ahead = queuePosition ?? 0
  return ahead > 0 ? `waits to be planned, behind ${count(ahead, 'job')}` : 'waits to be planned'
}

function waitingForTime({ notBefore, pauseSeconds, attempts, maxAttempts, error }: QueuedUnit): string {
  if (error === null) return `waits until ${notBefore?.toISOString()}`
  const which = attempts > 0 ? `attempt ${attempts + 1} of ${maxAttempts}` : 'it is tried again'
  return `waits ${Math.ceil(pauseSeconds)} s before ${which}: ${error.split('\n')[0]}`
}

function waitingForSlot(queue: string, able: WorkerRow[], ahead: number): string | null {
  const all = able.flatMap(worker => slotsFor(worker, queue).map(slot => ({ worker, ...slot })))
  const working = all.filter(({ state }) => state !== 'out-of-service')
  if (working.length === 0) return `waits for a slot on queue ${queue}: all of them are out of service`
  const free = working.filter(({ state }) => !isReserved(state))
  const [reserved] = working
  if (free.length === 0 && reserved) {
    const gpu = reserved.worker.gpus.find(({ uuid }) => uuid === reserved.device)
    const what = gpu ? `GPU ${gpu.index}` : `slot ${reserved.id}`
    return `waits for ${what} of ${reserved.worker.name}: ${reserved.reason ?? 'somebody else uses it'}`
  }
  if (ahead > 0) return `waits behind ${count(ahead, 'unit')} on queue ${queue}`
  const busy = free.filter(({ state }) => state !== 'idle').length
  return busy === free.length ? `waits for one of ${count(free.length, 'slot')} on queue ${queue}` : null
}

/** Taken by somebody else's program. */
function isReserved(state: string): boolean {
  return state === 'reserved'
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
