import { join } from 'node:path'
import { makePrivateFolder } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { takeLock } from '../lock-file.ts'

/**
 * Keeps a second process from being the worker of this name: both would write one outbox under one identity. Answers how
 * to release it.
 */
export function lockName(workerDir: string, name: string): () => void {
  makePrivateFolder(workerDir)
  const lock = takeLock(join(workerDir, 'lock'))
  if (typeof lock === 'function') return lock
  const which = lock.heldBy === null ? '' : ` (process ${lock.heldBy})`
  throw new ScError(
    'SC_CONFIG',
    `A worker named ${name} runs on this machine already${which}: stop it, or give this one another --name.`
  )
}
