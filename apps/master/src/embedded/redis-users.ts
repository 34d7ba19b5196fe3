import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import type { Settings } from './settings.ts'

/** The user as which masters log in to their own Redis. */
export const MASTER_USER = 'master'

export const usersFile = (folder: string): string => join(folder, 'users.acl')

/**
 * Who may log in to the Redis of this folder: the master, and the workers that it let in earlier, which need not wait for
 * the master after a restart. The default user is off. Join codes are in PostgreSQL, and set again from there.
 */
export function writeUsers(folder: string, { password }: Settings): void {
  const hash = createHash('sha256').update(password).digest('hex')
  const kept = readFileIfAny(usersFile(folder)) ?? ''
  const lines = [
    'user default off resetpass resetkeys resetchannels -@all',
    `user ${MASTER_USER} on #${hash} ~* &* +@all`,
    ...kept.split('\n').filter(line => /^user w-[\w-]+ /.test(line))
  ]
  writePrivateFile(usersFile(folder), `${lines.join('\n')}\n`)
}
