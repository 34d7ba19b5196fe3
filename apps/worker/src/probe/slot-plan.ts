import { ScError } from '@sc/shared/errors.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import type { Device } from '../python/command.ts'

/** VRAM classes, most demanding first. */
const VRAM_CLASSES_GB = [24, 12, 8, 6]
const LEAST_GPU_GB = 4
/** A card of a class reports a little less than its name: an A10 of 24 GB says 22.5. */
const TOLERANCE = 0.92

export interface SlotPlan {
  id: string
  device: Device
  /** Most demanding first. */
  queues: string[]
}

export interface SlotWishes {
  /** Replaces the queues that follow from the hardware. */
  queues?: string[]
  /** Indexes or UUIDs of the GPUs to use; all, when not given. */
  gpus?: string[]
  /** CPU slots. */
  concurrency?: number
}

/**
 * A slot for each GPU of 4 GB or more, serving its VRAM classes and, last, `cpu`; CPU slots where there is no such GPU,
 * where no asked queue is for one, or where a number of them is asked for. Queues that are asked for are served as they
 * are, by a CPU slot too.
 */
export function planSlots(found: Gpu[], wishes: SlotWishes): SlotPlan[] {
  const asked = wishes.queues
  const gpus = asked && !asked.some(isGpuQueue) ? [] : selectGpus(found, wishes.gpus)
  const gpuSlots = gpus
    .filter(gpu => gpu.vramTotalGb >= LEAST_GPU_GB * TOLERANCE)
    .map(gpu => ({ id: `gpu${gpu.index}`, device: gpu.uuid, queues: asked ?? [...gpuQueues(gpu), 'cpu'] }))
  const cpuSlots = wishes.concurrency ?? (gpuSlots.length === 0 ? 1 : 0)
  const cpuQueues = gpuSlots.length === 0 ? asked : asked?.filter(queue => !isGpuQueue(queue))
  return [
    ...gpuSlots,
    ...Array.from({ length: cpuSlots }, (_, at) => ({ id: `cpu${at}`, device: 'cpu', queues: cpuQueues ?? ['cpu'] }))
  ].filter(slot => slot.queues.length > 0)
}

function gpuQueues(gpu: Gpu): string[] {
  const classes = VRAM_CLASSES_GB.filter(gigabytes => gpu.vramTotalGb >= gigabytes * TOLERANCE)
  return [...classes.map(gigabytes => `gpu.vram${gigabytes}`), 'gpu']
}

function isGpuQueue(queue: string): boolean {
  return /^gpu(\.|\+|$)/.test(queue)
}

function selectGpus(found: Gpu[], wanted: string[] | undefined): Gpu[] {
  if (!wanted) return found
  return wanted.map(which => {
    const gpu = found.find(one => String(one.index) === which || one.uuid === which)
    if (gpu) return gpu
    const have = found.map(one => one.index).join(', ') || 'none'
    throw new ScError('SC_CONFIG', `--gpus ${which}: this machine has no such GPU (it has ${have}).`)
  })
}
