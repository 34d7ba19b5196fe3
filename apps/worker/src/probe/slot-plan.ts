import { classesOfGpu, isGpuClass } from '@sc/shared/capability.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import type { Device } from '../python/command.ts'

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
  const gpus = asked && !asked.some(isGpuClass) ? [] : selectGpus(found, wishes.gpus)
  const gpuSlots = gpus
    .filter(gpu => classesOfGpu(gpu.vramTotalGb).length > 0)
    .map(gpu => ({
      id: `gpu${gpu.index}`,
      device: gpu.uuid,
      queues: asked ?? [...classesOfGpu(gpu.vramTotalGb), 'cpu']
    }))
  const cpuSlots = wishes.concurrency ?? (gpuSlots.length === 0 ? 1 : 0)
  const cpuQueues = gpuSlots.length === 0 ? asked : asked?.filter(queue => !isGpuClass(queue))
  return [
    ...gpuSlots,
    ...Array.from({ length: cpuSlots }, (_, at) => ({ id: `cpu${at}`, device: 'cpu', queues: cpuQueues ?? ['cpu'] }))
  ].filter(slot => slot.queues.length > 0)
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
