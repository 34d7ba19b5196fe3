import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs'
import { readFileIfAny } from '@sc/shared/data-dir.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'

export type Lock = (() => void) | { heldBy: number | null }

/** libuv's UV_FS_O_EXLOCK, which Node hands on and does not name: nobody else may open the file. */
const EXCLUSIVE_ON_WINDOWS = 0x10000000

/**
 * A file that one process at a time holds. Answers how to release it, or the id of the process that has it, null where
 * that cannot be read.
 */
export function takeLock(path: string, platform: NodeJS.Platform = process.platform): Lock {
  return platform === 'win32' ? holdOpen(path) : writeOwner(path)
}

/**
 * It has the process id and when that process started, since ids are used again; what a killed process left counts for
 * nothing.
 */
function writeOwner(path: string): Lock {
  const mine = `${process.pid} ${identityOf(process.pid)?.startedAt ?? ''}`
  while (!create(path, mine)) {
    const [, pid = '', startedAt = ''] = /^(\d+) (.*)$/.exec(readFileIfAny(path) ?? '') ?? []
    if (pid && isRunning({ pid: Number(pid), startedAt })) return { heldBy: Number(pid) }
    rmSync(path, { force: true })
  }
  return () => {
    if (readFileIfAny(path) === mine) rmSync(path, { force: true })
  }
}

/** The system closes it with the process, however that ends. `open` is `fs.openSync`. */
export function holdOpen(path: string, open: (path: string, flags: number) => number = openSync): Lock {
  try {
    const file = open(path, constants.O_CREAT | constants.O_RDWR | EXCLUSIVE_ON_WINDOWS)
    return () => {
      closeSync(file)
      rmSync(path, { force: true })
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return { heldBy: null }
    throw error
  }
}

function create(path: string, text: string): boolean {
  try {
    const file = openSync(path, 'wx', 0o600)
    writeSync(file, text)
    closeSync(file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
