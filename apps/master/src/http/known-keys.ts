import type { Identity } from './identity.ts'
import { hashOf } from './key-rows.ts'

/** So long a key counts without another look: one that is revoked by another master is good here until then. */
const KNOWN_MS = 1_000

export interface KnownKeys {
  find(key: string): Promise<Identity | null>
  /** Some key is not what it was. */
  forget(): void
}

/**
 * Keys of people and programs that were good a moment ago: a request takes a question to PostgreSQL less. Those of workers
 * are looked up each time, as a worker is revoked or quarantined by whichever master notices.
 */
export function createKnownKeys(find: (key: string) => Promise<Identity | null>): KnownKeys {
  let known = new Map<string, { identity: Identity; untilMs: number }>()
  return {
    find: async key => {
      const name = hashOf(key).toString('base64')
      const recent = known.get(name)
      if (recent && recent.untilMs > performance.now()) return recent.identity
      const [asOf, untilMs] = [known, performance.now() + KNOWN_MS]
      const identity = await find(key)
      // Into what may have been forgotten meanwhile.
      if (identity?.scopes.every(scope => scope !== 'worker' && scope !== 'join')) asOf.set(name, { identity, untilMs })
      else asOf.delete(name)
      return identity
    },
    forget: () => {
      known = new Map()
    }
  }
}
