import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makePrivateFolder, readFileIfAny } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'

/**
 * Keeps a second process from being the worker of this name: both would write one outbox under one identity. The file
 * holds the process id and when that process started, since ids are used again. Answers how to release it.
 */
export function lockName(workerDir: string, name: string): () => void {
  makePrivateFolder(workerDir)
  const path = join(workerDir, 'lock')
  const mine = `${process.pid} ${identityOf(process.pid)?.startedAt ?? ''}`
  while (!create(path, mine)) {
    const [, pid = '', startedAt = ''] = /^(\d+) (.*)$/.exec(readFileIfAny(path) ?? '') ?? []
    if (pid && isRunning({ pid: Number(pid), startedAt }))
      throw new ScError(
        'SC_CONFIG',
        `A worker named ${name} runs on this machine already (process ${pid}): stop it, or give this one another --name.`
      )
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
