import { randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import type { RunTask } from '../slots/run-task.ts'
import type { SlotTasks } from './slot-tasks.ts'
import type { Ready } from './task-process.ts'

/** Tasks of a slot's processes. Their input is the unit's params, with its local files, if it has any, by name under `files`. */
export function runOnChild(child: SlotTasks, ready: Ready): RunTask {
  return async (unit, files, { signal, onBegin, onRan, onProgress, onLog }) => {
    if (!ready.tasks.some(task => task.name === unit.task))
      throw new ScError('SC_TASK_UNKNOWN', `This worker has no task ${unit.task}.`)
    // A client's own field of this name would be taken for paths on this machine.
    const { files: _, ...params } = unit.params
    const { output, metrics } = await child.run({
      id: randomUUID(),
      task: unit.task,
      input: Object.keys(files).length === 0 ? params : { ...params, files },
      deadlineMs: unit.deadline,
      signal,
      onBegin,
      onProgress: ({ fraction, partial }) => onProgress(fraction, partial),
      onLog: ({ level, message, fields }) => onLog(level, message, fields)
    })
    if (metrics.ranMs !== undefined) onRan(metrics.ranMs)
    return output
  }
}
