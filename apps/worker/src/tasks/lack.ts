import { classOf, isGpuClass, LLM, parseQueue, serves } from '@sc/shared/capability.ts'
import { searchPath } from '@sc/shared/config.ts'
import { findProgram } from '@sc/shared/processes.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'

export interface Surroundings {
  /** Where programs are. */
  path?: string
  /** A local LLM server answers. */
  hasLlm?: boolean
}

/** The program whose server is the LLM server: it may run where it is not on PATH. */
const LLM_PROGRAM = 'ollama'

/**
 * What a slot lacks to run a task of the user's own, in words; null: nothing. A feature is a program on PATH; `llm` is an
 * LLM server that answers, or that is there because the worker was asked to serve the queue.
 */
export function lackOf(
  task: TaskDescription,
  slot: Pick<SlotPlan, 'device' | 'classes' | 'queues'>,
  { path = searchPath(), hasLlm = false }: Surroundings = {}
): string | null {
  if (task.builtIn) return null
  const asked = slot.queues?.some(queue => parseQueue(queue).base === LLM) ?? false
  if (task.features.includes(LLM) && !hasLlm && !asked) return 'it needs a local LLM server, and none answers'
  const missing = task.features.filter(
    name => name !== LLM && !(name === LLM_PROGRAM && hasLlm) && !findProgram([name], path)
  )
  if (missing.length > 0) return `it needs ${missing.join(', ')} on PATH`
  const needed = classOf(task)
  if (needed === null) return `it needs ${task.vramGb} GB of GPU memory, more than any queue is for`
  const card = task.vramGb > 0 ? `a GPU with ${task.vramGb} GB` : 'a GPU'
  if (isGpuClass(needed) && slot.device === 'cpu') return `it needs ${card}`
  const served = slot.queues?.map(queue => parseQueue(queue).base) ?? slot.classes
  if (served.some(base => serves(base, needed))) return null
  const isTooSmall = isGpuClass(needed) && !slot.classes.some(base => serves(base, needed))
  return isTooSmall ? `it needs ${card}, and this one is too small` : `it needs the queue ${needed}`
}

/** Whether what a slot can offer of a task depends on the LLM server. */
export function asksForLlm({ features }: TaskDescription): boolean {
  return features.includes(LLM) || features.includes(LLM_PROGRAM)
}
