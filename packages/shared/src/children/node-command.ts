import { REPO_DIR } from '../config.ts'
import type { Command } from './process-group.ts'

/**
 * The protocol's way out of a Node process with a user's code: a pipe of its own, so that nothing that the code prints, nor
 * native code, nor a program that it starts, can write into it.
 */
export const PROTOCOL_FD = 3

// Types in a folder without a package.json are read twice, and Node would say so for each file.
export const NODE_FLAGS = ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON']

/** Runs one of our entry files, which loads a user's. */
export function nodeProcess(main: string, ...flags: string[]): Command {
  return { file: process.execPath, args: [...NODE_FLAGS, ...flags, main], cwd: REPO_DIR, protocolFd: PROTOCOL_FD }
}
