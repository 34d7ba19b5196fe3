import { classesOfGpu, isGpuClass, LLM, LLM_SLOT, parseQueue, queuesOfSlot } from '@sc/shared/capability.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Device } from '../python/command.ts'

export interface SlotPlan {
  /** Unique among the slots of one plan. */
  id: string
  device: Device
  /** Capability classes of the device, most demanding first. */
  classes: string[]
  /** Served as they are, instead of what follows from classes and tasks. */
  queues?: string[]
}

export interface SlotWishes {
  /** Replaces the queues that follow from the hardware. */
  queues?: string[]
  /** Indexes or UUIDs of the GPUs to use; all, when not given. */
  gpus?: string[]
  /** CPU lanes; 1, when not given. */
  concurrency?: number
}

/** The slots of a machine that has these GPUs, and maybe an LLM server. */
export type SlotPlanner = (found: Gpu[], hasLlm?: boolean) => SlotPlan[]

/** The queues that a slot serves when its child can run these tasks, most demanding first. */
export function queuesOf(plan: SlotPlan, tasks: TaskDescription[]): string[] {
  const own = tasks.filter(task => !task.builtIn)
  return plan.queues ?? queuesOfSlot(plan.classes, own)
}

/** The capability classes whose queues it serves. */
export function classesOf(plan: SlotPlan): string[] {
  return [...new Set(plan.queues?.map(name => parseQueue(name).base) ?? plan.classes)]
}

/**
 * A slot for each GPU of 4 GB or more, serving its classes, and CPU lanes beside, serving `cpu`: a long CPU unit must not
 * keep a GPU waiting. Where an LLM server answers, one slot more serves `llm`: its units mostly wait for the server. Queues that are asked for are served as they are, those of GPUs by the GPU slots and the others by
 * the lanes; where there is no GPU at the start, the lanes serve all of them. A GPU is known by its UUID: what `--gpus`
 * means by an index is settled at the start.
 */
export function createSlotPlanner(atStart: Gpu[], { queues, gpus, concurrency = 1 }: SlotWishes): SlotPlanner {
  const wanted = gpus && selectGpus(atStart, gpus)
  const forGpus = queues?.filter(isGpuClass)
  const usable = (found: Gpu[]): Gpu[] =>
    found.filter(
      gpu => classesOfGpu(gpu.vramTotalGb).length > 0 && forGpus?.length !== 0 && (!wanted || wanted.includes(gpu.uuid))
    )
  const forLanes = usable(atStart).length > 0 ? queues?.filter(queue => !isGpuClass(queue)) : queues
  const lanes = Array.from(
    { length: forLanes?.length === 0 ? 0 : concurrency },
    (_, at): SlotPlan => ({ id: `cpu${at}`, device: 'cpu', classes: ['cpu'], ...(forLanes && { queues: forLanes }) })
  )
  const llm: SlotPlan[] = queues ? [] : [{ id: LLM_SLOT, device: 'cpu', classes: [LLM] }]
  return (found, hasLlm = false) => [
    ...usable(found).map(
      ({ index, uuid, vramTotalGb }): SlotPlan => ({
        id: `gpu${index}`,
        device: uuid,
        classes: classesOfGpu(vramTotalGb),
        ...(forGpus && { queues: forGpus })
      })
    ),
    ...lanes,
    // The last of its device: a slot is known by its place.
    ...(hasLlm ? llm : [])
  ]
}

/** The UUIDs of the GPUs that `--gpus` names. */
function selectGpus(found: Gpu[], wanted: string[]): string[] {
  return wanted.map(which => {
    const gpu = found.find(one => String(one.index) === which || one.uuid === which)
    if (gpu) return gpu.uuid
    const have = found.map(one => one.index).join(', ') || 'none'
    throw new ScError('SC_CONFIG', `--gpus ${which}: this machine has no such GPU (it has ${have}).`)
  })
}
