import type { ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { Database, DeliveryRow } from '../database/schema.ts'
import { pauseSecondsAfter } from './back-off.ts'
import type { PostOutcome } from './post-webhook.ts'

/** Longer than one attempt takes: a master that was killed meanwhile does not send it any more. */
const LEASE_SECONDS = 15

export type DueDelivery = Pick<DeliveryRow, 'id' | 'key_id' | 'host'>

/**
 * Of each key the delivery that is sent next: those that were tried least first, so that an address that never answers
 * does not hold up the key's others. None of a key or a host that is busy.
 */
export async function dueDeliveries(
  db: Database,
  busy: Array<Pick<DueDelivery, 'key_id' | 'host'>>
): Promise<DueDelivery[]> {
  const keys = busy.map(({ key_id }) => key_id)
  const hosts = busy.map(({ host }) => host)
  // One look into the index for each key, however many deliveries it has.
  const { rows } = await sql<DueDelivery>`
    with recursive keys (key_id) as (
      select min(key_id) from webhook_deliveries where status = 'PENDING'
      union all
      select (select min(key_id) from webhook_deliveries where status = 'PENDING' and key_id > keys.key_id)
      from keys where keys.key_id is not null
    )
    select due.id, due.key_id, due.host from keys cross join lateral (
      select id, key_id, host from webhook_deliveries
      where status = 'PENDING' and key_id = keys.key_id and next_at <= now() and host <> all(${hosts}::text[])
      order by attempts, next_at limit 1
    ) as due
    where keys.key_id <> all(${keys}::text[])`.execute(db)
  return rows
}

/** Takes it for one attempt. Undefined: another master has it, or it is gone. */
export async function takeDelivery(db: Database, id: string): Promise<DeliveryRow | undefined> {
  return await db
    .updateTable('webhook_deliveries')
    .set({ next_at: sql<Date>`now() + make_interval(secs => ${LEASE_SECONDS})` })
    .where('id', '=', id)
    .where('status', '=', 'PENDING')
    .where('next_at', '<=', sql<Date>`now()`)
    .returningAll()
    .executeTakeFirst()
}

/** Writes down what came of it, and when the next attempt is. */
export async function settleDelivery(db: Database, taken: DeliveryRow, outcome: PostOutcome): Promise<void> {
  const { status, error, retryAfterSeconds } = outcome
  const attempts = taken.attempts + 1
  const pauseSeconds = error?.retryable ? pauseSecondsAfter(attempts, retryAfterSeconds) : null
  await whileTaken(db, taken)
    .set({
      status: error === null ? 'DELIVERED' : pauseSeconds === null ? 'FAILED' : 'PENDING',
      attempts,
      response_status: status,
      error: error && JSON.stringify(error.toReport()),
      last_attempt_at: sql<Date>`now()`,
      delivered_at: error === null ? sql<Date>`now()` : null,
      next_at: sql<Date>`now() + make_interval(secs => ${pauseSeconds ?? 0})`
    })
    .execute()
}

/** Ends it without an attempt. */
export async function refuseDelivery(db: Database, taken: DeliveryRow, error: ScError): Promise<void> {
  await whileTaken(db, taken)
    .set({ status: 'FAILED', error: JSON.stringify(error.toReport()) })
    .execute()
}

/** The attempt did not come to an end, and counts for nothing. */
export async function giveDeliveryBack(db: Database, taken: DeliveryRow): Promise<void> {
  await whileTaken(db, taken).set({ next_at: sql<Date>`now()` }).execute()
}

/** Another master may have taken it and settled it, when the lease ran out. */
function whileTaken(db: Database, { id, attempts }: DeliveryRow) {
  return db
    .updateTable('webhook_deliveries')
    .where('id', '=', id)
    .where('attempts', '=', attempts)
    .where('status', '=', 'PENDING')
}
