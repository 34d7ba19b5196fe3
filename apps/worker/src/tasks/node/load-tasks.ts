import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { describeTask, isTask, type Task } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { LeftOut, TaskDescription } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles } from '../task-files.ts'

/** Less than the worker waits for `ready`. */
const LOAD_MS = 10_000
/** Of what is told of a file that could not be loaded. */
const REASON_LENGTH = 1_000

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
  const exit = process.exit
  for (const file of tasksDir ? nodeTaskFiles(tasksDir) : []) {
    process.exit = code => {
      throw new Error(`it called process.exit(${code ?? ''})`)
    }
    try {
      const found = tasksOf(await importInTime(join(tasksDir as string, file)))
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
    } finally {
      process.exit = exit
    }
  }
  return { tasks, descriptions, leftOut }
}

async function importInTime(path: string): Promise<Record<string, unknown>> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new ScError('SC_CONFIG', `it was not loaded within ${LOAD_MS / 1000} s`)),
    LOAD_MS
  )
  try {
    return await Promise.race([import(pathToFileURL(path).href), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Every export that is a task; one that is exported twice is one. */
function tasksOf(module: Record<string, unknown>): Task[] {
  const found = [...new Set(Object.values(module).filter(isTask))]
  if (found.length > 0) return found
  throw new ScError('SC_CONFIG', 'it exports no task: write `export default defineTask({ … })`')
}

function reasonOf(error: unknown): string {
  const text = error instanceof ScError ? error.message : inspect(error)
  return text.slice(0, REASON_LENGTH)
}
