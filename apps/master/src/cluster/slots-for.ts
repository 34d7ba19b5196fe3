import { classesOfGpu, isGpuClass, LLM, LLM_SLOT, parseQueue } from '@sc/shared/capability.ts'
import type { SlotState } from '@sc/shared/presence.ts'
import type { WorkerRow } from './presence.ts'

/**
 * The slots of a worker that may take units of a queue; none when the worker does not serve it. A worker says its queues,
 * not those of each slot: this follows how its planner (`slot-plan.ts`) shares them out.
 */
export function slotsFor(worker: WorkerRow, queue: string): SlotState[] {
  if (!worker.queues.includes(queue)) return []
  const { base } = parseQueue(queue)
  const beside = worker.slots.filter(({ id }) => id === LLM_SLOT)
  if (base === LLM && beside.length > 0) return beside
  const lanes = worker.slots.filter(({ id, device }) => device === 'cpu' && id !== LLM_SLOT)
  if (!isGpuClass(base)) return lanes
  const ofGpus = worker.slots.filter(({ device }) => device !== 'cpu')
  const fitting = ofGpus.filter(({ device }) => {
    const card = worker.gpus.find(({ uuid }) => uuid === device)
    return card !== undefined && classesOfGpu(card.vramTotalGb).includes(base)
  })
  // Asked to serve it all the same (`--queues`): by its GPUs, or where there are none by the lanes.
  return [fitting, ofGpus, lanes].find(slots => slots.length > 0) ?? []
}

/** How many slots of online workers may take units of a queue. */
export function slotsOn(workers: WorkerRow[], queue: string): number {
  return workers.filter(({ status }) => status === 'online').flatMap(worker => slotsFor(worker, queue)).length
}

/**
 * Whether a transcription is to be planned for a GPU: a slot of one takes units; or nothing does just now, and a worker that
 * is away, or draining, has one.
 */
export function hasGpuFor(workers: WorkerRow[]): boolean {
  if (slotsOn(workers, 'gpu') > 0) return true
  return slotsOn(workers, 'cpu') === 0 && workers.some(({ queues }) => queues.includes('gpu'))
}
