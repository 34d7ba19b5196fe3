import type { WorkerRow } from '../cluster/presence.ts'
import type { JobFigures } from './progress.ts'

export interface Waiting extends Pick<JobFigures, 'status' | 'planned' | 'units'> {
  /** Capability class of its queued units; null: none is queued. */
  queuedOn: string | null
  queuePosition: number | null
}

/** Why nothing of a job is being done just now, in one sentence; null: something is, or it has ended. */
export function waitingForOf(job: Waiting, workers: WorkerRow[]): string | null {
  if ((job.status !== 'PENDING' && job.status !== 'RUNNING') || job.units.running > 0) return null
  const { queuedOn } = job
  if (queuedOn === null) return waitingForMaster(job)
  const online = workers.filter(({ status }) => status === 'online')
  const able = online.filter(({ queues }) => queues.includes(queuedOn))
  if (able.length === 0) return waitingForWorker(queuedOn, online, workers)
  const slots = able.flatMap(worker => worker.slots).filter(({ state }) => state !== 'out-of-service')
  if (slots.length === 0) return `waits for a slot on queue ${queuedOn}: all of them are out of service`
  const ahead = job.queuePosition ?? 0
  if (ahead > 0) return `waits behind ${count(ahead, 'job')} on queue ${queuedOn}`
  const busy = slots.filter(({ state }) => state !== 'idle').length
  return busy === slots.length ? `waits for one of ${count(slots.length, 'slot')} on queue ${queuedOn}` : null
}

function waitingForMaster({ planned, queuePosition, units }: Waiting): string | null {
  if (planned) return units.total > 0 ? 'waits for its results to be put together' : null
  if (units.total > 0) return null
  const ahead = queuePosition ?? 0
  return ahead > 0 ? `waits to be planned, behind ${count(ahead, 'job')}` : 'waits to be planned'
}

/** Nobody who is there can do it: say what is missing, and what there is instead. */
function waitingForWorker(queue: string, online: WorkerRow[], workers: WorkerRow[]): string {
  const draining = workers.filter(({ status, queues }) => status === 'draining' && queues.includes(queue))
  if (draining.length > 0) return `waits for a worker: ${draining.map(({ name }) => name).join(', ')} is draining`
  if (online.length === 0) return 'waits for a worker: none is online'
  const neededGb = Number(/^gpu\.vram(\d+)/.exec(queue)?.[1] ?? 0)
  const cards = online.flatMap(({ name, gpus }) => gpus.map(({ vramTotalGb }) => ({ name, vramTotalGb })))
  const largest = cards.sort((a, b) => b.vramTotalGb - a.vramTotalGb)[0]
  if (queue.startsWith('gpu') && !largest) return 'waits for a GPU: no worker that is online has one'
  if (neededGb > 0 && largest && largest.vramTotalGb < neededGb)
    return `waits for a GPU with ${neededGb} GB: the largest online has ${Math.floor(largest.vramTotalGb)} GB (${largest.name})`
  return `waits for a worker on queue ${queue}: none of the ${online.length} online serves it`
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
