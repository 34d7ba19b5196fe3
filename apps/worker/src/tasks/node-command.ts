import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_FLAGS, nodeProcess } from '@sc/shared/children/node-command.ts'
import type { Command } from '@sc/shared/children/process-group.ts'
import { childEnv } from '@sc/shared/config.ts'
import type { Device } from '../python/command.ts'

/** The process of `node/main.ts`. */
export function nodeCommand(): Command {
  return nodeProcess(join(import.meta.dirname, 'node/main.ts'))
}

export function nodeEnv(device: Device): Record<string, string> {
  return childEnv({ CUDA_VISIBLE_DEVICES: device === 'cpu' ? '' : device })
}

/** Node's own test runner, with the imports that tasks may write. */
export function nodeTestCommand(files: string[], tasksDir: string): Command {
  const hooks = fileURLToPath(import.meta.resolve('@sc/shared/resolve-ours.ts'))
  return { file: process.execPath, args: [...NODE_FLAGS, '--import', hooks, '--test', ...files], cwd: tasksDir }
}
