import type { Scope } from '../database/schema.ts'

/** Who sent a request. */
export interface Identity {
  /** Whose jobs and schedules it submits. */
  readonly keyId: string
  readonly scopes: readonly Scope[]
  readonly workerId: string | null
  /** Of the browser that sent it; null: it came with a key. */
  readonly sessionId: string | null
}

/**
 * A key may also do what other scopes may that its own include. `submit` does not include `read`: see `visible.ts`.
 * `worker` stands alone: not even an admin reads units' blobs. So does `join`, which no key has: it is what a join code
 * may do.
 */
const INCLUDES: Record<Scope, readonly Scope[]> = {
  admin: ['admin', 'submit', 'read', 'metrics'],
  submit: ['submit'],
  read: ['read', 'metrics'],
  metrics: ['metrics'],
  worker: ['worker'],
  join: ['join']
}

export function mayDo({ scopes }: Pick<Identity, 'scopes'>, needed: Scope): boolean {
  return scopes.some(scope => INCLUDES[scope].includes(needed))
}
