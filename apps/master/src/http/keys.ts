import { randomUUID, timingSafeEqual } from 'node:crypto'
import { rmSync } from 'node:fs'
import { type DataDir, loadAdminKey, readFileIfAny } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { type SqlBool, sql } from 'kysely'
import { findByJoinCode } from '../cluster/join-codes.ts'
import type { Database } from '../database/schema.ts'
import type { Identity } from './identity.ts'
import { hashOf } from './key-rows.ts'
import { createKnownKeys } from './known-keys.ts'
import { createLoginLinks, type LoginLinks } from './login-links.ts'
import { createSessions, type Sessions } from './session.ts'

export interface Keys {
  /** Who holds the key, or the join code as `USER:SECRET`; null: nobody, or not any more. SC_REVOKED: a quarantined worker. */
  find(key: string): Promise<Identity | null>
  /** A key was revoked: counts at once. */
  revoked(): void
  readonly sessions: Sessions
  /** A link that logs a browser in at this process, once; see `login-links.ts`. */
  createLoginLink: LoginLinks['create']
  redeem: LoginLinks['redeem']
}

/** Makes the admin key at first start and writes its hash down. Keys themselves are in no table. */
export async function createKeys(deps: {
  db: Database
  dataDir: DataDir
  adminKey: string | undefined
}): Promise<Keys> {
  const { db } = deps
  const { adminKey, keyId } = await storeAdminKey(deps)
  const links = createLoginLinks()
  const noteUse = createNoteUse(db)
  const known = createKnownKeys(async key => {
    const found = await findKey(db, key)
    if (!found) return await findCode(db, key)
    if (found.workerId === null) noteUse(found.keyId)
    return found
  })
  return {
    find: known.find,
    revoked: known.forget,
    sessions: createSessions({ db, adminKey, keyId }),
    createLoginLink: links.create,
    redeem: links.redeem
  }
}

/**
 * The key of the configuration, else that of the data folder. One that an admin has revoked stays so: in the data folder
 * another takes its place, and SC_CONFIG asks for another in the configuration.
 */
async function storeAdminKey({ db, dataDir, adminKey: fixed }: Parameters<typeof createKeys>[0]) {
  const before = readFileIfAny(dataDir.adminKey)?.trim()
  const adminKey = loadAdminKey(dataDir, fixed)
  // A key that was replaced in the configuration ends, and is good again when that is taken back; other masters on the
  // same database keep theirs.
  if (before && before !== adminKey)
    await db
      .updateTable('api_keys')
      .set({ revoked_at: sql<Date>`coalesce(revoked_at, now())` })
      .where('hash', '=', hashOf(before))
      .execute()
  const row = await db
    .insertInto('api_keys')
    .values({ id: randomUUID(), name: 'admin', hash: hashOf(adminKey), scopes: ['admin'] })
    .onConflict(conflict =>
      conflict.column('hash').doUpdateSet({
        revoked_at: sql<Date | null>`case when api_keys.revoked_by is not null then api_keys.revoked_at end`
      })
    )
    .returning(['id', 'revoked_at'])
    .executeTakeFirstOrThrow()
  if (row.revoked_at === null) return { adminKey, keyId: row.id }
  if (fixed) throw new ScError('SC_CONFIG', 'SC_ADMIN_KEY: this key was revoked by an admin. Set another.')
  rmSync(dataDir.adminKey)
  return await storeAdminKey({ db, dataDir, adminKey: undefined })
}

async function findKey(db: Database, key: string): Promise<Identity | null> {
  const hash = hashOf(key)
  const row = await db
    .selectFrom('api_keys')
    .leftJoin('workers', 'workers.id', 'api_keys.worker_id')
    .select(['api_keys.id', 'hash', 'scopes', 'worker_id', 'quarantined_at'])
    .where('hash', '=', hash)
    .where('api_keys.revoked_at', 'is', null)
    .executeTakeFirst()
  if (!row || !timingSafeEqual(row.hash, hash)) return null
  if (row.quarantined_at)
    throw new ScError(
      'SC_REVOKED',
      `The worker of this key is quarantined: \`sc doctor\` says why. An admin forgives it by POST /api/workers/${row.worker_id}/forgive.`
    )
  return { keyId: row.id, scopes: row.scopes, workerId: row.worker_id, sessionId: null }
}

/** Throws SC_JOIN_CODE_USED or SC_JOIN_CODE_EXPIRED for one that was good before. */
async function findCode(db: Database, text: string): Promise<Identity | null> {
  const user = await findByJoinCode(db, text)
  return user === null ? null : { keyId: user, scopes: ['join'], workerId: null, sessionId: null }
}

const NOTED_EVERY_MS = 60_000

/** Writes down when a key was last used, not with every request of one that is used a thousand times a second. */
function createNoteUse(db: Database): (keyId: string) => void {
  const notedMs = new Map<string, number>()
  return keyId => {
    const nowMs = performance.now()
    if (nowMs - (notedMs.get(keyId) ?? Number.NEGATIVE_INFINITY) < NOTED_EVERY_MS) return
    notedMs.set(keyId, nowMs)
    db.updateTable('api_keys')
      .set({ last_used_at: sql<Date>`now()` })
      .where('id', '=', keyId)
      .where(sql<SqlBool>`coalesce(last_used_at < now() - make_interval(secs => ${NOTED_EVERY_MS / 1000}), true)`)
      .execute()
      // Nobody waits for it; the next minute has another chance.
      .catch(() => {})
  }
}
