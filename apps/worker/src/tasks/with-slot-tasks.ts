import { LLM } from '@sc/shared/capability.ts'
import type { Logger } from '@sc/shared/log.ts'
import { llmServerAnswers } from '../probe/llm-server.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'
import { pythonCommand, pythonEnv } from '../python/command.ts'
import { SlotTasks } from './slot-tasks.ts'
import type { Ready } from './task-process.ts'

/** All slots of a machine as one, to run a task with no cluster: on its first GPU, where it has one. */
export function wholeMachine(plans: SlotPlan[]): Pick<SlotPlan, 'device' | 'classes'> {
  const classes = [...plans.flatMap(plan => plan.classes), 'cpu', LLM]
  return { device: plans[0]?.device ?? 'cpu', classes: [...new Set(classes)] }
}

/** Starts the task processes of a slot for one use, and ends them. */
export async function withSlotTasks<T>(
  options: {
    slot: Pick<SlotPlan, 'device' | 'classes' | 'queues'>
    modelsDir: string
    tasksDir?: string | undefined
    log: Logger
  },
  use: (tasks: SlotTasks, ready: Ready) => Promise<T>
): Promise<T> {
  const { slot, modelsDir, tasksDir = null, log } = options
  const env = () => pythonEnv(slot.device, 1)
  const answers = await llmServerAnswers()
  const hasLlm = () => answers
  const tasks = new SlotTasks({ slot, python: pythonCommand(), env, modelsDir, tasksDir, hasLlm, log }).start()
  try {
    return await use(tasks, await tasks.ready)
  } finally {
    await tasks.stop()
  }
}
