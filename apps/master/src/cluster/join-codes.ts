import { randomBytes, timingSafeEqual } from 'node:crypto'
import { JOIN_USER, joinUser, secretHash } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { Database, DatabaseTransaction } from '../database/schema.ts'

/** Lets one worker in: a Redis user that may only ask to be enrolled, once, within JOIN_CODE_MS. */
export interface JoinCode {
  user: string
  secret: string
  hash: string
  expiresAt: Date
}

export const JOIN_CODE_MS = 15 * 60_000
/** Whoever asks again and again is not to fill Redis with users: of its unused codes, only so many newest stay good. */
export const MOST_OPEN_EACH = 10
const MOST_OPEN = 200

/** `madeBy`: id of the key or the session that asks. A new code never fails for those that are open: the oldest end. */
export async function createJoinCode(db: Database, hasUsers: boolean, madeBy = ''): Promise<JoinCode> {
  if (!hasUsers)
    throw new ScError(
      'SC_CONFIG',
      'The login of REDIS_URL may not make users in Redis: there are no join codes. Give the worker an ordinary login.'
    )
  // By PostgreSQL's clock, as is decided whether it is too old.
  const { rows } = await sql<{ at: Date }>`select now() + make_interval(secs => ${JOIN_CODE_MS / 1000}) as at`.execute(
    db
  )
  const expiresAt = (rows[0] as { at: Date }).at
  const user = joinUser(expiresAt, randomBytes(6).toString('hex'))
  const secret = randomBytes(24).toString('base64url')
  const hash = secretHash(secret)
  await db.insertInto('join_codes').values({ id: user, hash, expires_at: expiresAt, made_by: madeBy }).execute()
  await endOldest(db)
  return { user, secret, hash, expiresAt }
}

/** The newest code of each caller goes before the second newest of any: who makes many ends only its own. */
async function endOldest(db: Database): Promise<void> {
  await sql`
    update join_codes set expires_at = now() where id in (
      select id from (
        select id, nth, row_number() over (order by nth, created_at desc) as place from (
          select id, created_at, row_number() over (partition by made_by order by created_at desc, id) as nth
          from join_codes where used_at is null and expires_at > now()
        ) as each_caller
      ) as all_callers
      where nth > ${MOST_OPEN_EACH} or place > ${MOST_OPEN}
    )`.execute(db)
}

/** Before its time: its login goes with the next look at who may log in. */
export async function endJoinCode(db: Database, user: string): Promise<void> {
  await db
    .updateTable('join_codes')
    .set({ expires_at: sql<Date>`now()` })
    .where('id', '=', user)
    .where('expires_at', '>', sql<Date>`now()`)
    .execute()
}

/** Whether it can still be used. */
export async function isOpen(db: Database, { user }: JoinCode): Promise<boolean> {
  const code = await findJoinCode(db, user)
  return code !== undefined && !code.used_at && !code.too_old
}

type CodeRow = Awaited<ReturnType<typeof findJoinCode>>

export async function findJoinCode(db: Database | DatabaseTransaction, user: string) {
  return await db
    .selectFrom('join_codes')
    .select(['hash', 'used_at', sql<boolean>`expires_at <= now()`.as('too_old')])
    .where('id', '=', user)
    .$if(db.isTransaction, query => query.forUpdate())
    .executeTakeFirst()
}

/** Throws SC_JOIN_CODE_USED or SC_JOIN_CODE_EXPIRED. */
export function checkJoinCode({ used_at, too_old }: NonNullable<CodeRow>): void {
  if (used_at)
    throw new ScError(
      'SC_JOIN_CODE_USED',
      'Another worker has used this join code already: make a new one with `sc join`.'
    )
  if (too_old) throw new ScError('SC_JOIN_CODE_EXPIRED', 'This join code is too old: make a new one with `sc join`.')
}

/** The code's user, for whoever has `USER:SECRET`; null: there is no such code. Throws as `checkJoinCode` for one that is over. */
export async function findByJoinCode(db: Database, text: string): Promise<string | null> {
  const [user = '', ...rest] = text.split(':')
  if (!JOIN_USER.test(user)) return null
  const code = await findJoinCode(db, user)
  if (!code || !timingSafeEqual(Buffer.from(code.hash), Buffer.from(secretHash(rest.join(':'))))) return null
  checkJoinCode(code)
  return user
}
