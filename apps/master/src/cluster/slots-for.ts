import { classesOfGpu, isGpuClass, parseQueue } from '@sc/shared/capability.ts'
import type { SlotState } from '@sc/shared/presence.ts'
import type { WorkerRow } from './presence.ts'

/** The slots of a worker that may take units of a queue; none when the worker does not serve it. */
export function slotsFor(worker: WorkerRow, queue: string): SlotState[] {
  if (!worker.queues.includes(queue)) return []
  const { base } = parseQueue(queue)
  if (!isGpuClass(base)) return worker.slots
  return worker.slots.filter(({ device }) => {
    const card = worker.gpus.find(({ uuid }) => uuid === device)
    return card !== undefined && classesOfGpu(card.vramTotalGb).includes(base)
  })
}
