import { classesOfGpu, classOf, isGpuClass, LLM, parseQueue, vramOf } from '@sc/shared/capability.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { WorkerRow } from '../cluster/presence.ts'
import type { RegisteredTask } from '../cluster/task-registry.ts'

/** What is known of a task that workers have in their folder, where none can run it. */
export type LackingTask = Pick<RegisteredTask, 'name' | 'requires' | 'lacking'>

/**
 * No worker that takes units serves a queue: what is missing, what there is instead, and whether it could ever be. `tasks`: by
 * name, those that no known worker can run.
 */
export function waitingForWorker(
  queue: string,
  workers: WorkerRow[],
  tasks: ReadonlyMap<string, LackingTask> = new Map()
): string {
  const serving = workers.filter(({ queues }) => queues.includes(queue))
  if (serving.length > 0 && serving.every(isOfOtherProtocol)) return waitingForUpdate(serving)
  const draining = workers.filter(({ status, queues }) => status === 'draining' && queues.includes(queue))
  if (draining.length > 0) return `waits for a worker: ${draining.map(({ name }) => name).join(', ')} is draining`
  const { base, feature } = parseQueue(queue)
  const having = feature === null ? workers : workers.filter(({ tasks: names }) => names.includes(feature))
  const asked = feature !== null && having.length === 0 ? tasks.get(feature) : undefined
  if (asked && asked.lacking.length > 0) return waitingForLack(asked, base, workers)
  return (
    (feature && waitingForTask(feature, having)) ||
    (isGpuClass(base) && waitingForGpu(base, having, feature)) ||
    (base === LLM && waitingForLlm(workers)) ||
    waitingForAny(queue, workers)
  )
}

const MOST_NAMED = 3

/** Workers have the task in their folder, and none of them can run it. */
function waitingForLack({ name, requires, lacking }: LackingTask, base: string, workers: WorkerRow[]): string {
  const withCard = isGpuClass(base) ? workers.filter(({ gpus }) => gpus.some(gpu => fits(gpu, base))) : workers
  const able = new Set(withCard.map(({ id }) => id))
  const others = lacking.filter(({ id }) => able.has(id))
  if (isGpuClass(base) && others.length === 0) return waitingForCard(name, requires.vramGb, base, workers)
  const named = (others.length > 0 ? others : lacking).toSorted((a, b) => Number(isOnline(b)) - Number(isOnline(a)))
  const each = named.slice(0, MOST_NAMED).map(({ name: worker, lack }) => `on ${worker} ${lack}`)
  return `waits for a worker that can run the task ${name}: ${each.join('; ')}`
}

/** None of the workers that have the task has such a GPU. */
function waitingForCard(task: string, vramGb: number, base: string, workers: WorkerRow[]): string {
  const asked = classOf({ gpu: true, vramGb }) === base ? vramGb : vramOf(base)
  const needed = base === 'gpu' ? 'a GPU' : `a GPU with ${asked} GB`
  const online = cardsOf(workers).filter(isOnline)
  const fitting = online.find(gpu => fits(gpu, base))
  if (fitting)
    return `needs ${needed} on a worker that has the task ${task}: ${fitting.worker} has the GPU and not the task`
  // A card between two classes counts for the smaller one.
  const ofClass = online.some(({ vramTotalGb }) => vramTotalGb >= asked) ? ` (of the class of ${vramOf(base)} GB)` : ''
  return `needs ${needed}${ofClass}; ${largestOf(online, 'online')}`
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
  const cards = cardsOf(workers)
  const online = cards.filter(isOnline)
  if (online.some(gpu => fits(gpu, base))) return null
  const needed = base === 'gpu' ? 'a GPU' : `a GPU with ${vramOf(base)} GB`
  if (!cards.some(gpu => fits(gpu, base)))
    return `can never run here: it needs ${needed}, and ${largestOf(cards, feature ? `with the task ${feature}` : 'known here')}`
  return `waits for ${needed}: ${largestOf(online, 'online')}`
}

function isOnline({ status }: Pick<WorkerRow, 'status'>): boolean {
  return status === 'online'
}

function cardsOf(workers: WorkerRow[]) {
  return workers.flatMap(({ name, status, gpus }) => gpus.map(gpu => ({ ...gpu, worker: name, status })))
}

function fits({ vramTotalGb }: { vramTotalGb: number }, base: string): boolean {
  return classesOfGpu(vramTotalGb).includes(base)
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
