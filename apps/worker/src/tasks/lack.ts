import { classOf, isGpuClass, parseQueue, serves } from '@sc/shared/capability.ts'
import { childEnv } from '@sc/shared/config.ts'
import { findProgram } from '@sc/shared/processes.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'

/** What a slot lacks to run a task of the user's own, in words; null: nothing. A feature is a program on PATH. */
export function lackOf(
  task: TaskDescription,
  slot: Pick<SlotPlan, 'device' | 'classes' | 'queues'>,
  path: string = childEnv().PATH ?? ''
): string | null {
  if (task.builtIn) return null
  const missing = task.features.filter(name => !findProgram([name], path))
  if (missing.length > 0) return `it needs ${missing.join(', ')} on PATH`
  const needed = classOf(task)
  if (needed === null) return `it needs ${task.vramGb} GB of GPU memory, more than any queue is for`
  if (isGpuClass(needed) && slot.device === 'cpu') return `it needs a GPU`
  const served = slot.queues?.map(queue => parseQueue(queue).base) ?? slot.classes
  return served.some(base => serves(base, needed)) ? null : `it needs the queue ${needed}`
}
