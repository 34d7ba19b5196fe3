import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { relative, resolve } from 'node:path'
import type { Command } from '@sc/shared/children/process-group.ts'
import { childEnv } from '@sc/shared/config.ts'
import { ScError } from '@sc/shared/errors.ts'
import { isNodeTest, isPythonTest, testFiles } from '@sc/shared/task-files.ts'
import { pythonTestCommand, pythonTestEnv } from '../python/command.ts'
import { nodeTestCommand } from '../tasks/node-command.ts'
import { type Flags, NO_TASKS_DIR, readSettings } from './flags.ts'

/**
 * `sc-worker task test [FILES]`: unit tests of the tasks folder, all where none are named. TypeScript by Node's own test
 * runner, Python by unittest. Answers 1 when one fails.
 */
export async function taskTest(named: string[], flags: Flags): Promise<number> {
  const { tasksDir } = readSettings(flags).config
  if (!tasksDir) throw new ScError('SC_CONFIG', NO_TASKS_DIR)
  const files = named.length > 0 ? chosen(named, tasksDir) : testFiles(tasksDir)
  if (files.node.length + files.python.length === 0)
    throw new ScError('SC_CONFIG', `There is no test in ${tasksDir}: *.test.ts or test_*.py.`)
  const codes = [
    files.node.length > 0 ? await runLive(nodeTestCommand(files.node, tasksDir), childEnv()) : 0,
    files.python.length > 0 ? await runLive(pythonTestCommand(files.python, tasksDir), pythonTestEnv()) : 0
  ]
  return codes.every(code => code === 0) ? 0 : 1
}

function chosen(named: string[], tasksDir: string): { node: string[]; python: string[] } {
  const names = named.map(name => relative(tasksDir, resolve(name)))
  const other = names.find(name => !isNodeTest(name) && !isPythonTest(name))
  if (other)
    throw new ScError('SC_CONFIG', `${other} is no test of ${tasksDir}: expected *.test.ts or test_*.py there.`)
  return { node: names.filter(isNodeTest), python: names.filter(isPythonTest) }
}

/** With this terminal's output. */
async function runLive({ file, args, cwd }: Command, env: Record<string, string>): Promise<number> {
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}
