import type { Database } from '../database/schema.ts'
import type { Access } from './access.ts'
import { isOpen, type JoinCode } from './join-codes.ts'

/**
 * The join code that each caller made last, to show it again while nobody has used it. Its secret stays in the memory of
 * the master that made it, since the database has only its hash and a copy of that must not let anybody in. So a
 * restart, or another master, shows none: the caller makes another, which costs nothing.
 */
export interface OpenCodes {
  /** Null: the caller has made none here, or it was used or is too old. */
  find(caller: string): Promise<JoinCode | null>
  make(caller: string): Promise<JoinCode>
}

export function createOpenCodes({ db, access }: { db: Database; access: Pick<Access, 'createJoinCode'> }): OpenCodes {
  const newest = new Map<string, JoinCode>()
  return {
    find: async caller => {
      const code = newest.get(caller)
      if (code === undefined) return null
      if (await isOpen(db, code)) return code
      if (newest.get(caller) === code) newest.delete(caller)
      return null
    },
    make: async caller => {
      const code = await access.createJoinCode(caller)
      for (const [other, { expiresAt }] of newest) if (expiresAt.getTime() < Date.now()) newest.delete(other)
      newest.set(caller, code)
      return code
    }
  }
}
