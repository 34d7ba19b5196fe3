import { REPO_DIR } from '../config.ts'
import type { Command } from './process-group.ts'

/**
 * The protocol's ways out of a Node process with a user's code, and in: pipes of its own, so that nothing that the code prints,
 * nor native code, nor a program that it starts, can write into the one, or read what is in the other.
 */
export const PROTOCOL_FDS = { out: 3, in: 4 } as const

// Types in a folder without a package.json are read twice, and Node would say so for each file.
export const NODE_FLAGS = ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON']

/** Runs one of our entry files, which loads a user's. */
export function nodeProcess(main: string, ...flags: string[]): Command {
  return { file: process.execPath, args: [...NODE_FLAGS, ...flags, main], cwd: REPO_DIR, protocolFds: PROTOCOL_FDS }
}
