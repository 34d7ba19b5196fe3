import type { Kysely } from 'kysely'
import type { DatabaseTransaction, Tables } from './schema.ts'

const TRIES = 5
/** deadlock_detected, serialization_failure */
const AGAIN = new Set(['40P01', '40001'])

/**
 * Runs `use` in a transaction, again from its start when PostgreSQL broke it off for the sake of another. In a transaction
 * that goes on already it is part of that one. `use` must have no effect outside PostgreSQL.
 */
export async function transact<T>(db: Kysely<Tables>, use: (trx: DatabaseTransaction) => Promise<T>): Promise<T> {
  if (db.isTransaction) return await use(db as DatabaseTransaction)
  return await tried(() => db.transaction().execute(use))
}

/** The same for a step that is one statement, and needs no transaction. */
export async function tried<T>(step: () => Promise<T>): Promise<T> {
  for (let triesLeft = TRIES - 1; ; triesLeft--) {
    try {
      return await step()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (!AGAIN.has(code) || triesLeft === 0) throw error
    }
  }
}
