import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_FLAGS, nodeProcess } from '@sc/shared/children/node-command.ts'
import type { Command } from '@sc/shared/children/process-group.ts'
import { childEnv } from '@sc/shared/config.ts'
import { isProgram } from '@sc/shared/processes.ts'
import { type Device, pythonCommand } from '../python/command.ts'

/**
 * Python becomes the program that it is given: from then on that process adopts what its descendants leave behind (Linux).
 * Node itself cannot ask for it.
 */
const ADOPTING = `import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])`

/** The process of `node/main.ts`. */
export function nodeCommand(platform: NodeJS.Platform = process.platform): Command {
  const command = nodeProcess(join(import.meta.dirname, 'node/main.ts'))
  const python = pythonCommand().file
  if (platform !== 'linux' || !isProgram(python)) return command
  return { ...command, file: python, args: ['-I', '-S', '-c', ADOPTING, command.file, ...command.args] }
}

export function nodeEnv(device: Device): Record<string, string> {
  return childEnv({ CUDA_VISIBLE_DEVICES: device === 'cpu' ? '' : device })
}

/** Node's own test runner, with the imports that tasks may write. */
export function nodeTestCommand(files: string[], tasksDir: string): Command {
  const hooks = fileURLToPath(import.meta.resolve('@sc/shared/resolve-ours.ts'))
  return { file: process.execPath, args: [...NODE_FLAGS, '--import', hooks, '--test', ...files], cwd: tasksDir }
}
