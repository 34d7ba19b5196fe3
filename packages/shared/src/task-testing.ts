import type { z } from 'zod'
import { callTask, createTaskLog } from './call-task.ts'
import type { LogFields, LogLevel, Task, TaskContext } from './define-task.ts'

/** `import { runTask } from 'semantics-cluster/testing'`: unit tests of a task, without a worker. */

export interface TaskRecord<O> {
  output: O
  logs: Array<{ level: LogLevel; message: string; fields: LogFields }>
  progress: Array<{ fraction: number; partial?: unknown }>
}

/**
 * Runs a task as a worker would, schemas included, and answers its output with what it logged and how it progressed.
 * Rejects with SC_TASK_INPUT or SC_TASK_FAILED when input or output does not fit, else with what the task threw.
 */
export async function runTask<I extends z.ZodType, O extends z.ZodType>(
  task: Task<I, O>,
  input: z.input<I>,
  { signal = new AbortController().signal, files = {} }: Partial<Pick<TaskContext, 'signal' | 'files'>> = {}
): Promise<TaskRecord<z.output<O>>> {
  const logs: TaskRecord<unknown>['logs'] = []
  const progress: TaskRecord<unknown>['progress'] = []
  const output = await callTask(task, input, {
    log: createTaskLog((level, message, fields) => logs.push({ level, message, fields })),
    signal,
    progress: (fraction, partial) => progress.push(partial === undefined ? { fraction } : { fraction, partial }),
    files
  })
  return { output, logs, progress }
}
