import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import type { Device } from '../python/command.ts'
import type { Command } from './process-group.ts'

/**
 * The protocol's way out of the Node process: a pipe of its own, so that nothing that a task prints, nor native code, nor a
 * program that it starts, can write into it.
 */
export const PROTOCOL_FD = 3

// Types in a folder without a package.json are read twice, and Node would say so for each file.
const FLAGS = ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON']

/** The process of `node/main.ts`. */
export function nodeCommand(): Command {
  const main = join(import.meta.dirname, 'node/main.ts')
  return { file: process.execPath, args: [...FLAGS, main], cwd: REPO_DIR, protocolFd: PROTOCOL_FD }
}

export function nodeEnv(device: Device): Record<string, string> {
  return childEnv({ CUDA_VISIBLE_DEVICES: device === 'cpu' ? '' : device })
}

/** Node's own test runner, with the imports that tasks may write. */
export function nodeTestCommand(files: string[], tasksDir: string): Command {
  const hooks = fileURLToPath(import.meta.resolve('@sc/shared/resolve-ours.ts'))
  return { file: process.execPath, args: [...FLAGS, '--import', hooks, '--test', ...files], cwd: tasksDir }
}
