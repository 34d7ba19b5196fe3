import { join } from 'node:path'
import { isDefinedJob } from '@sc/shared/define-job.ts'
import { describeTask, isTask, type Task } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { loadFile, reasonOf } from '@sc/shared/load-file.ts'
import type { LeftOut, TaskDescription } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles } from '@sc/shared/task-files.ts'

export interface LoadedTasks {
  tasks: Map<string, Task>
  descriptions: TaskDescription[]
  leftOut: LeftOut[]
}

/** Imports every file of the tasks folder, in order. A file that fails is left out whole, and does the others no harm. */
export async function loadTasks(tasksDir: string | null): Promise<LoadedTasks> {
  const tasks = new Map<string, Task>()
  const descriptions: TaskDescription[] = []
  const leftOut: LeftOut[] = []
  for (const file of tasksDir ? nodeTaskFiles(tasksDir) : []) {
    try {
      const found = tasksOf(await loadFile(join(tasksDir as string, file)))
      for (const { name } of found) {
        const other = descriptions.find(task => task.name === name)
        if (other) throw new ScError('SC_CONFIG', `the task ${name} is in ${other.file} already`)
      }
      for (const task of found) {
        tasks.set(task.name, task)
        descriptions.push(describeTask(task, file))
      }
    } catch (error) {
      leftOut.push({ file, reason: reasonOf(error) })
    }
  }
  return { tasks, descriptions, leftOut }
}

/** Every export that is a task. A file may be a job's, which is the master's. */
function tasksOf(exported: unknown[]): Task[] {
  const found = exported.filter(isTask)
  if (found.length > 0 || exported.some(isDefinedJob)) return found
  throw new ScError(
    'SC_CONFIG',
    'it exports no task: write `export default defineTask({ … })`, or put what tasks share into a subfolder'
  )
}
