import { randomUUID } from 'node:crypto'
import { type SqlBool, sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { newSecret } from './sign.ts'

/** What the API says of a secret. */
export interface SecretDescription {
  id: string
  createdAt: string
  /** Null: it signs until another takes its place. */
  endsAt: string | null
}

const SHOWN = ['id', 'created_at', 'ends_at'] as const
const isGood = sql<SqlBool>`(ends_at is null or ends_at > now())`

/**
 * A new secret for a key, which signs at once. The one before signs beside it for `overlapSeconds`; one that an earlier
 * rotation has left ends. This is the only time that its text is shown.
 */
export async function makeSecret(
  db: Database,
  keyId: string,
  overlapSeconds: number
): Promise<SecretDescription & { secret: string }> {
  const secret = newSecret()
  return await db.transaction().execute(async trx => {
    // Two requests of one key wait for each other.
    await trx.selectFrom('api_keys').select('id').where('id', '=', keyId).forUpdate().execute()
    await trx.deleteFrom('webhook_secrets').where('key_id', '=', keyId).where('ends_at', 'is not', null).execute()
    await trx
      .updateTable('webhook_secrets')
      .set({ ends_at: sql<Date>`now() + make_interval(secs => ${overlapSeconds})` })
      .where('key_id', '=', keyId)
      .execute()
    const made = await trx
      .insertInto('webhook_secrets')
      .values({ id: randomUUID(), key_id: keyId, secret })
      .returning(SHOWN)
      .executeTakeFirstOrThrow()
    return { ...describe(made), secret }
  })
}

/** Those that sign, the newest first. */
export async function listSecrets(db: Database, keyId: string): Promise<SecretDescription[]> {
  const rows = await db
    .selectFrom('webhook_secrets')
    .select(SHOWN)
    .where('key_id', '=', keyId)
    .where(isGood)
    .orderBy('created_at', 'desc')
    .execute()
  return rows.map(describe)
}

/** Their texts, the newest first. */
export async function readSecrets(db: Database, keyId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('webhook_secrets')
    .select('secret')
    .where('key_id', '=', keyId)
    .where(isGood)
    .orderBy('created_at', 'desc')
    .execute()
  return rows.map(({ secret }) => secret)
}

/** Ends one at once. Null: the key has no such secret. */
export async function deleteSecret(db: Database, keyId: string, id: string): Promise<SecretDescription | null> {
  const row = await db
    .deleteFrom('webhook_secrets')
    .where('key_id', '=', keyId)
    .where('id', '=', id)
    .returning([...SHOWN, sql<Date>`now()`.as('now')])
    .executeTakeFirst()
  return row ? describe({ ...row, ends_at: row.now }) : null
}

function describe({
  id,
  created_at,
  ends_at
}: {
  id: string
  created_at: Date
  ends_at: Date | null
}): SecretDescription {
  return { id, createdAt: created_at.toISOString(), endsAt: ends_at?.toISOString() ?? null }
}
