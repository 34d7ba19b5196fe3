import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { ScError } from '@sc/shared/errors.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import type { RunTask } from '../slots/run-task.ts'
import type { Run } from './run.ts'
import type { SlotTasks } from './slot-tasks.ts'
import type { Ready } from './task-process.ts'

/** Tasks of a slot's processes. Their input is the unit's params, with its local files, if it has any, by name under `files`. */
export function runOnChild(child: SlotTasks, ready: Ready): RunTask {
  return async (unit, files, { signal, onBegin, onRan, onProgress, onLog }) => {
    if (!ready.tasks.some(task => task.name === unit.task))
      throw new ScError('SC_TASK_UNKNOWN', `This worker has no task ${unit.task}.`)
    const { output, metrics } = await child.run({
      id: randomUUID(),
      task: unit.task,
      ...(await inputOf(unit, files)),
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

async function inputOf(
  { params, inputSha256 }: UnitPayload,
  files: Record<string, string>
): Promise<Pick<Run, 'input' | 'inputText'>> {
  if (inputSha256 !== undefined) return { input: null, inputText: await readFile(files.input as string, 'utf8') }
  // A client's own field of this name would be taken for paths on this machine.
  const { files: _, ...rest } = params
  return { input: Object.keys(files).length === 0 ? rest : { ...rest, files } }
}
