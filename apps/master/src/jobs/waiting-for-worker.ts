import { classesOfGpu, isGpuClass, LLM, parseQueue, vramOf } from '@sc/shared/capability.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { WorkerRow } from '../cluster/presence.ts'

/** No worker that takes units serves a queue: what is missing, what there is instead, and whether it could ever be. */
export function waitingForWorker(queue: string, workers: WorkerRow[]): string {
  const serving = workers.filter(({ queues }) => queues.includes(queue))
  if (serving.length > 0 && serving.every(isOfOtherProtocol)) return waitingForUpdate(serving)
  const draining = workers.filter(({ status, queues }) => status === 'draining' && queues.includes(queue))
  if (draining.length > 0) return `waits for a worker: ${draining.map(({ name }) => name).join(', ')} is draining`
  const { base, feature } = parseQueue(queue)
  const having = feature === null ? workers : workers.filter(({ tasks }) => tasks.includes(feature))
  return (
    (feature && waitingForTask(feature, having)) ||
    (isGpuClass(base) && waitingForGpu(base, having, feature)) ||
    (base === LLM && waitingForLlm(workers)) ||
    waitingForAny(queue, workers)
  )
}

/** As of its last word: one of another protocol that asks to be let in is refused, and nothing is kept of it. */
const isOfOtherProtocol = ({ protocol }: WorkerRow): boolean => protocol !== PROTOCOL_VERSION

function waitingForUpdate(workers: WorkerRow[]): string {
  const each = workers.map(({ name, protocol }) => `${name} (protocol ${protocol})`).join(', ')
  const isNewer = workers.some(({ protocol }) => protocol > PROTOCOL_VERSION)
  const what = isNewer ? 'update the master' : `update ${workers.length === 1 ? 'it' : 'one of them'}`
  return `waits for a worker that speaks the master's protocol ${PROTOCOL_VERSION}: ${each} would serve it, ${what}`
}

/** Null: one of those that have the task is there. */
function waitingForTask(task: string, having: WorkerRow[]): string | null {
  if (having.some(({ status }) => status !== 'offline')) return null
  const [last] = having.toSorted((a, b) => Date.parse(b.lastSeen) - Date.parse(a.lastSeen))
  if (!last) return `can never run here: no known worker has the task ${task}`
  return `waits for a worker that has the task ${task}: none is online (it was last seen on ${last.name}, ${ago(last.lastSeen)} ago)`
}

/** Null: nothing is known of GPUs, or one that is online would do. */
function waitingForGpu(base: string, workers: WorkerRow[], feature: string | null): string | null {
  if (workers.length === 0) return null
  const cards = workers.flatMap(({ name, status, gpus }) => gpus.map(gpu => ({ ...gpu, worker: name, status })))
  const online = cards.filter(({ status }) => status === 'online')
  const fits = ({ vramTotalGb }: { vramTotalGb: number }): boolean => classesOfGpu(vramTotalGb).includes(base)
  if (online.some(fits)) return null
  const needed = base === 'gpu' ? 'a GPU' : `a GPU with ${vramOf(base)} GB`
  if (!cards.some(fits))
    return `can never run here: it needs ${needed}, and ${largestOf(cards, feature ? `with the task ${feature}` : 'known here')}`
  return `waits for ${needed}: ${largestOf(online, 'online')}`
}

function largestOf(cards: Array<{ worker: string; vramTotalGb: number }>, which: string): string {
  const [largest] = cards.toSorted((a, b) => b.vramTotalGb - a.vramTotalGb)
  if (!largest) return `no worker ${which === 'online' ? 'that is online' : which} has one`
  return `the largest ${which} has ${Math.floor(largest.vramTotalGb)} GB (${largest.worker})`
}

/** Null: no worker is online at all. */
function waitingForLlm(workers: WorkerRow[]): string | null {
  if (workers.every(({ status }) => status !== 'online')) return null
  return 'waits for a worker with a local LLM server: none that is online has one that answers'
}

function waitingForAny(queue: string, workers: WorkerRow[]): string {
  const online = workers.filter(({ status }) => status === 'online').length
  if (online === 0) return 'waits for a worker: none is online'
  return `waits for a worker on queue ${queue}: none of the ${online} online serves it`
}

function ago(time: string): string {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000)
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} days`
}
