/**
 * Capability classes: which queue a unit goes to, and which queues a slot serves.
 *
 * A unit goes to the least demanding class that satisfies it; a slot serves every class that it satisfies, the most
 * demanding first. `+name` behind a class is a feature: a task that only some workers have is its own feature, so that a
 * worker never receives a unit that it cannot run.
 * `llm` is the class of what asks the machine's own LLM server and has no GPU to itself: it has one slot beside the others.
 */

/** Smallest card that counts as a GPU, in GB. */
export const LEAST_GPU_GB = 4
/** GB of GPU memory that the VRAM classes stand for, least first. */
export const VRAM_CLASSES_GB = [6, 8, 12, 24] as const
/** A card of a class reports a little less than its name: an A10 of 24 GB says 22.5. */
const TOLERANCE = 0.92

/** What a task asks of a slot. */
export interface Requirements {
  gpu: boolean
  /** GB of GPU memory; 0: any GPU of LEAST_GPU_GB. More than 0 means a GPU. */
  vramGb: number
  /** `LLM` among them: a local LLM server. */
  features?: string[]
}

/** The class, and the feature that leads to it. */
export const LLM = 'llm'
/** The slot that serves it. */
export const LLM_SLOT = 'llm0'

/** `cpu`, `llm`, `gpu`, `gpu.vram6` … `gpu.vram24`. Null: no class is large enough. */
export function classOf({ gpu, vramGb, features }: Requirements): string | null {
  if (!gpu && vramGb <= 0) return features?.includes(LLM) ? LLM : 'cpu'
  if (vramGb <= LEAST_GPU_GB) return 'gpu'
  const gigabytes = VRAM_CLASSES_GB.find(size => size >= vramGb)
  return gigabytes === undefined ? null : `gpu.vram${gigabytes}`
}

/** The next larger class, for a unit that ran out of memory in this one; null: there is none. */
export function largerClass(name: string): string | null {
  const { base, feature } = parseQueue(name)
  if (base === 'gpu') return queueName(`gpu.vram${VRAM_CLASSES_GB[0]}`, feature)
  const gigabytes = VRAM_CLASSES_GB.find(size => size > vramOf(base))
  return base.startsWith('gpu.') && gigabytes !== undefined ? queueName(`gpu.vram${gigabytes}`, feature) : null
}

/** Every class that a card satisfies, most demanding first; none below LEAST_GPU_GB. */
export function classesOfGpu(vramTotalGb: number): string[] {
  if (vramTotalGb < LEAST_GPU_GB * TOLERANCE) return []
  const sized = VRAM_CLASSES_GB.filter(gigabytes => vramTotalGb >= gigabytes * TOLERANCE)
  return [...sized.toReversed().map(gigabytes => `gpu.vram${gigabytes}`), 'gpu']
}

/**
 * The queues of a slot that serves `classes` (most demanding first) and can run `tasks` beside those that every worker
 * has. Of one class, the tasks that only some workers have go first: fewer slots can take them.
 */
export function queuesOfSlot(classes: string[], tasks: Array<Requirements & { name: string }>): string[] {
  return classes.flatMap(base => [
    ...tasks.filter(task => serves(base, classOf(task))).map(({ name }) => queueName(base, name)),
    base
  ])
}

/** Whether a unit of class `needed` may have been put into class `base`: the same, or a larger one after it ran out of memory. */
export function serves(base: string, needed: string | null): boolean {
  if (needed === null) return false
  return base === needed || (isGpuClass(base) && isGpuClass(needed) && vramOf(base) >= vramOf(needed))
}

/** Whether a name is one of a capability class. */
export function isClass(name: string): boolean {
  return ['cpu', LLM, 'gpu'].includes(name) || VRAM_CLASSES_GB.some(gigabytes => name === `gpu.vram${gigabytes}`)
}

export function queueName(base: string, feature: string | null): string {
  return feature === null ? base : `${base}+${feature}`
}

export function parseQueue(name: string): { base: string; feature: string | null } {
  const at = name.indexOf('+')
  return at === -1 ? { base: name, feature: null } : { base: name.slice(0, at), feature: name.slice(at + 1) }
}

export function isGpuClass(name: string): boolean {
  return /^gpu(\.|\+|$)/.test(name)
}

/** GB that a queue asks for; 0 for `cpu`. */
export function vramOf(name: string): number {
  const { base } = parseQueue(name)
  if (base === 'gpu') return LEAST_GPU_GB
  return Number(/^gpu\.vram(\d+)$/.exec(base)?.[1] ?? 0)
}
