import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ScError } from './errors.ts'

const NODE_FILE = /\.(ts|mts|js|mjs)$/
const NODE_TEST = /\.test\.(ts|mts|js|mjs)$/
const PYTHON_TEST = /^test_.*\.py$/

/** SC_CONFIG: there is none where the setting says. */
export function checkTasksDir(tasksDir: string | undefined): void {
  if (tasksDir && !statSync(tasksDir, { throwIfNoEntry: false })?.isDirectory())
    throw new ScError('SC_CONFIG', `SC_TASKS_DIR: there is no folder ${tasksDir}.`)
}

/** Names of the files directly in the tasks folder from which the Node process takes tasks, in order. */
export function nodeTaskFiles(tasksDir: string): string[] {
  return filesOf(tasksDir).filter(name => NODE_FILE.test(name) && !NODE_TEST.test(name) && !/\.d\.m?ts$/.test(name))
}

/** The same for the Python process. */
export function pythonTaskFiles(tasksDir: string): string[] {
  return filesOf(tasksDir).filter(name => name.endsWith('.py') && !PYTHON_TEST.test(name))
}

/** Another text when a file of that language came, went or changed. */
export interface Stamps {
  python: string
  node: string
}

export function stampsOf(tasksDir: string | null): Stamps {
  if (tasksDir === null) return { python: '', node: '' }
  return { python: stamp(tasksDir, pythonTaskFiles(tasksDir)), node: stamp(tasksDir, nodeTaskFiles(tasksDir)) }
}

/** Names of the files with unit tests, in order. */
export function testFiles(tasksDir: string): { node: string[]; python: string[] } {
  const files = filesOf(tasksDir)
  return { node: files.filter(isNodeTest), python: files.filter(isPythonTest) }
}

export function isNodeTest(name: string): boolean {
  return NODE_TEST.test(name)
}

export function isPythonTest(name: string): boolean {
  return PYTHON_TEST.test(name)
}

function stamp(tasksDir: string, names: string[]): string {
  return names
    .map(name => {
      const file = statSync(join(tasksDir, name), { throwIfNoEntry: false })
      return `${name} ${file?.mtimeMs} ${file?.size}`
    })
    .join()
}

function filesOf(tasksDir: string): string[] {
  // A folder that went away has no tasks; that it is there at the start is checked with the settings.
  if (!existsSync(tasksDir)) return []
  const entries = readdirSync(tasksDir, { withFileTypes: true })
  const names = entries.filter(entry => entry.isFile() || entry.isSymbolicLink()).map(({ name }) => name)
  return names.filter(name => !name.startsWith('.')).sort()
}
