import { randomBytes } from 'node:crypto'
import { joinUser, secretHash } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'

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
