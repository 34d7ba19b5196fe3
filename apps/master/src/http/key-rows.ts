import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { ApiKeysTable, Database, Scope } from '../database/schema.ts'

/** What a key of a person or a program may be given; those of workers come with their enrolment. */
export const KEY_SCOPES = ['read', 'submit', 'metrics', 'admin'] as const satisfies Scope[]

/** What the API says of a key. */
export interface KeyDescription {
  id: string
  name: string
  scopes: Array<(typeof KEY_SCOPES)[number]>
  createdAt: string
  /** To the minute. */
  lastUsedAt: string | null
  revokedAt: string | null
}

/** sha256: keys are random, so there is nothing to guess. */
export function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** A new key with its scopes. This is the only time its text is known. */
export async function createKey(
  db: Database,
  { name, scopes }: { name: string; scopes: Scope[] }
): Promise<{ keyId: string; key: string }> {
  const key = `sc_${randomBytes(32).toString('base64url')}`
  const keyId = randomUUID()
  await db
    .insertInto('api_keys')
    .values({ id: keyId, name, hash: hashOf(key), scopes })
    .execute()
  return { keyId, key }
}

/** Oldest first, those that were revoked, too; without those of workers. */
export async function listKeys(db: Database): Promise<KeyDescription[]> {
  return (await selectKeys(db).orderBy('created_at').orderBy('id').execute()).map(describe)
}

export async function findKeyById(db: Database, id: string): Promise<KeyDescription | undefined> {
  const row = await selectKeys(db).where('id', '=', id).executeTakeFirst()
  return row && describe(row)
}

/**
 * Ends a key, on other masters within a second (`known-keys.ts`); its jobs and schedules stay. Null: there is no such key.
 * SC_LAST_ADMIN_KEY: nobody could make another after that.
 */
export async function revokeKey(db: Database, id: string, by: string): Promise<KeyDescription | null> {
  return await db.transaction().execute(async trx => {
    // Locked: of two admins who revoke each other's key at once, one is refused.
    const admins = await selectKeys(trx)
      .where('revoked_at', 'is', null)
      .where(sql<boolean>`'admin' = any(scopes)`)
      .orderBy('id')
      .forUpdate()
      .execute()
    if (admins.length === 1 && admins[0]?.id === id)
      throw new ScError(
        'SC_LAST_ADMIN_KEY',
        `"${admins[0].name}" is the only key with the scope "admin": make another first.`
      )
    const row = await trx
      .updateTable('api_keys')
      .set({ revoked_at: sql<Date>`coalesce(revoked_at, now())`, revoked_by: sql<string>`coalesce(revoked_by, ${by})` })
      .where('id', '=', id)
      .where(isOfPeople)
      .returning(SHOWN)
      .executeTakeFirst()
    return row ? describe(row) : null
  })
}

const SHOWN = ['id', 'name', 'scopes', 'created_at', 'last_used_at', 'revoked_at'] as const
const isOfPeople = sql<boolean>`not 'worker' = any(scopes)`

function selectKeys(db: Database) {
  return db.selectFrom('api_keys').select(SHOWN).where(isOfPeople)
}

type Row = Pick<ApiKeysTable, 'id' | 'name' | 'scopes'> &
  Record<'created_at' | 'last_used_at' | 'revoked_at', Date | null>

function describe({ id, name, scopes, created_at, last_used_at, revoked_at }: Row): KeyDescription {
  return {
    id,
    name,
    scopes: scopes as KeyDescription['scopes'],
    createdAt: (created_at as Date).toISOString(),
    lastUsedAt: last_used_at?.toISOString() ?? null,
    revokedAt: revoked_at?.toISOString() ?? null
  }
}
