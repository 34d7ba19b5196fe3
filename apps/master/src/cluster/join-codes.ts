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
/** A page that asks for one again and again is not to fill Redis with users. */
const MOST_OPEN = 200

export async function createJoinCode(db: Database, hasUsers: boolean): Promise<JoinCode> {
  if (!hasUsers)
    throw new ScError(
      'SC_CONFIG',
      'The login of REDIS_URL may not make users in Redis: there are no join codes. Give the worker an ordinary login.'
    )
  const { open } = await db
    .selectFrom('join_codes')
    .select(sql<number>`count(*)::integer`.as('open'))
    .where('used_at', 'is', null)
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirstOrThrow()
  if (open >= MOST_OPEN)
    throw new ScError(
      'SC_RATE_LIMITED',
      `There are ${open} unused join codes: use one of them, or wait until they are too old.`
    )
  // By PostgreSQL's clock, as is decided whether it is too old.
  const { rows } = await sql<{ at: Date }>`select now() + make_interval(secs => ${JOIN_CODE_MS / 1000}) as at`.execute(
    db
  )
  const expiresAt = (rows[0] as { at: Date }).at
  const user = joinUser(expiresAt, randomBytes(6).toString('hex'))
  const secret = randomBytes(24).toString('base64url')
  const hash = secretHash(secret)
  await db.insertInto('join_codes').values({ id: user, hash, expires_at: expiresAt }).execute()
  return { user, secret, hash, expiresAt }
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
