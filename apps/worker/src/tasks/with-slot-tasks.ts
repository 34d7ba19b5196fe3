import type { Logger } from '@sc/shared/log.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'
import { pythonCommand, pythonEnv } from '../python/command.ts'
import { SlotTasks } from './slot-tasks.ts'
import type { Ready } from './task-process.ts'

export const CPU_SLOT = { device: 'cpu', queues: ['cpu'] }

/** Starts the task processes of a slot for one use, and ends them. */
export async function withSlotTasks<T>(
  options: { slot: Pick<SlotPlan, 'device' | 'queues'>; modelsDir: string; tasksDir?: string | undefined; log: Logger },
  use: (tasks: SlotTasks, ready: Ready) => Promise<T>
): Promise<T> {
  const { slot, modelsDir, tasksDir = null, log } = options
  const env = pythonEnv(slot.device, 1)
  const tasks = new SlotTasks({ slot, python: pythonCommand(), env, modelsDir, tasksDir, log }).start()
  try {
    return await use(tasks, await tasks.ready)
  } finally {
    await tasks.stop()
  }
}
