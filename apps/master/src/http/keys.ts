import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { type DataDir, loadAdminKey, readFileIfAny } from '@sc/shared/data-dir.ts'
import { sql } from 'kysely'
import { findByJoinCode } from '../cluster/join-codes.ts'
import type { Database, Scope } from '../database/schema.ts'
import type { Identity } from './identity.ts'
import { createSessions, type Sessions } from './session.ts'

export interface Keys extends Pick<Sessions, 'createLoginLink' | 'redeem' | 'letIn'> {
  /** Who holds the key, or the join code as `USER:SECRET`; null: nobody, or not any more. */
  find(key: string): Promise<Identity | null>
  /** Who holds the session cookie of a browser; null: nobody. */
  findSession(cookieHeader: string | undefined): Identity | null
}

/** Makes the admin key at first start and writes its hash down. Keys themselves are in no table. */
export async function createKeys(deps: {
  db: Database
  dataDir: DataDir
  adminKey: string | undefined
}): Promise<Keys> {
  const { db, dataDir } = deps
  const before = readFileIfAny(dataDir.adminKey)?.trim()
  const adminKey = loadAdminKey(dataDir, deps.adminKey)
  // A key that was replaced in the configuration ends; other masters on the same database keep theirs.
  if (before && before !== adminKey) await revoke(db, before)
  const keyId = await store(db, { key: adminKey, name: 'admin', scopes: ['admin'] })
  const admin: Identity = { keyId, scopes: ['admin'], workerId: null, sessionId: 'cookie' }
  const sessions = createSessions(adminKey)
  return {
    find: async key => (await findKey(db, key)) ?? (await findCode(db, key)),
    findSession: cookieHeader => (sessions.isValid(cookieHeader) ? admin : null),
    createLoginLink: sessions.createLoginLink,
    redeem: sessions.redeem,
    letIn: sessions.letIn
  }
}

/** A new key with its scopes. This is the only time its text is known. */
export async function createKey(
  db: Database,
  { name, scopes }: { name: string; scopes: Scope[] }
): Promise<{ keyId: string; key: string }> {
  const key = `sc_${randomBytes(32).toString('base64url')}`
  return { keyId: await store(db, { key, name, scopes }), key }
}

async function findKey(db: Database, key: string): Promise<Identity | null> {
  const hash = hashOf(key)
  const row = await db
    .selectFrom('api_keys')
    .select(['id', 'hash', 'scopes', 'worker_id'])
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  if (!row || !timingSafeEqual(row.hash, hash)) return null
  return { keyId: row.id, scopes: row.scopes, workerId: row.worker_id, sessionId: null }
}

/** Throws SC_JOIN_CODE_USED or SC_JOIN_CODE_EXPIRED for one that was good before. */
async function findCode(db: Database, text: string): Promise<Identity | null> {
  const user = await findByJoinCode(db, text)
  return user === null ? null : { keyId: user, scopes: ['join'], workerId: null, sessionId: null }
}

async function store(
  db: Database,
  { key, name, scopes }: { key: string; name: string; scopes: Scope[] }
): Promise<string> {
  const row = await db
    .insertInto('api_keys')
    .values({ id: randomUUID(), name, hash: hashOf(key), scopes })
    .onConflict(conflict => conflict.column('hash').doUpdateSet({ revoked_at: null }))
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

async function revoke(db: Database, key: string): Promise<void> {
  await db.updateTable('api_keys').set({ revoked_at: sql<Date>`now()` }).where('hash', '=', hashOf(key)).execute()
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
