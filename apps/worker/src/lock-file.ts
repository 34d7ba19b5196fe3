import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { readFileIfAny } from '@sc/shared/data-dir.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'

/**
 * A file that one process at a time holds. It has the process id and when that process started, since ids are used
 * again; what a killed process left counts for nothing. Answers how to release it, or the id of the process that has it.
 */
export function takeLock(path: string): (() => void) | { heldBy: number } {
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
