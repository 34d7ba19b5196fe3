import { findTask } from '../cluster/find-task.ts'
import type { TaskRegistry } from '../cluster/task-registry.ts'
import type { Asker } from './check-pool.ts'
import type { TaskRequest } from './submit-task.ts'
import { type CheckInput, queueOfTask } from './task-input.ts'

/** What is to run, where, and with what. SC_TASK_UNKNOWN, SC_TASK_UNFIT, SC_TASK_INPUT, SC_TASK_INPUT_COSTLY. */
export async function checkTask(
  { tasks, checkInput }: { tasks: TaskRegistry; checkInput: CheckInput },
  name: string,
  /** As JSON text; a large input stays that. */
  text: string,
  asker: Asker
): Promise<Pick<TaskRequest, 'task' | 'queue' | 'input' | 'retryCrashes'>> {
  const task = await findTask(tasks, name)
  const queue = task.isJob ? null : queueOfTask(task)
  const { retryCrashes } = task
  return { task: task.name, queue, retryCrashes, input: await checkInput(task, text, asker) }
}
