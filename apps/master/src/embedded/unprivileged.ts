import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { ScError } from '@sc/shared/errors.ts'

/** PostgreSQL refuses to run as root. */
export interface OsUser {
  uid: number
  gid: number
}

/** Undefined: we are an ordinary user ourselves. `kept` is the user that owns the data already. */
export function userForServer(kept?: OsUser): OsUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  if (kept && kept.uid !== 0) return kept
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'))
  // initdb looks its own user up by number, so it has to be one with a name.
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find(([candidate]) => candidate === name)
    if (account) return { uid: Number(account[2]), gid: Number(account[3]) }
  }
  throw new ScError(
    'SC_UNAVAILABLE',
    'PostgreSQL does not run as root, and this machine has neither a user "postgres" nor "nobody". Start the master as an ordinary user, or set DATABASE_URL.'
  )
}

/**
 * The programs of `native` (with `bin/`, `lib/`, `share/`) where `user` can run them: there, or, when the project lies
 * in a folder that only root may enter such as /root, in a copy.
 */
export async function reachablePrograms(native: string, version: string, user: OsUser | undefined): Promise<string> {
  if (!user || (await canRun(native, user))) return native
  const errors: unknown[] = []
  for (const parent of ['/var/lib/semantics-cluster', join(tmpdir(), 'semantics-cluster')]) {
    try {
      const copy = join(parent, version)
      mkdirSync(parent, { recursive: true, mode: 0o755 })
      // Anyone may make a folder in /tmp: only root's own is trusted.
      if (statSync(parent).uid !== 0) continue
      if (await canRun(copy, user)) return copy
      const fresh = `${copy}.${process.pid}`
      cpSync(native, fresh, { recursive: true, verbatimSymlinks: true })
      // Another master may have been faster, and already run from its copy.
      if (await canRun(copy, user)) rmSync(fresh, { recursive: true })
      else {
        rmSync(copy, { recursive: true, force: true })
        renameSync(fresh, copy)
      }
      if (await canRun(copy, user)) return copy
    } catch (error) {
      errors.push(error)
    }
  }
  throw new ScError(
    'SC_UNAVAILABLE',
    `User ${user.uid} cannot run PostgreSQL below ${native}, nor a copy of it. Move the project out of a folder that only root may enter, or set DATABASE_URL.`,
    { cause: errors[0] }
  )
}

async function canRun(native: string, user: OsUser): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)(join(native, 'bin/postgres'), ['--version'], { ...user, cwd: '/' })
    return stdout.includes(basename('postgres'))
  } catch {
    return false
  }
}
