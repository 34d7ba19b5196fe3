import { randomUUID } from 'node:crypto'
import type { ErrorReport } from '@sc/shared/errors.ts'
import { type SqlBool, sql } from 'kysely'
import type { Database, DatabaseTransaction, DeliveryStatus } from '../database/schema.ts'
import type { Owner } from '../jobs/owner.ts'
import type { JobPlace } from '../jobs/select-jobs.ts'

/** What the API says of a delivery. */
export interface DeliveryDescription {
  id: string
  jobId: string
  /** Without its query, which may have a password of the receiver in it. */
  url: string
  status: DeliveryStatus
  attempts: number
  responseStatus: number | null
  error: ErrorReport | null
  createdAt: string
  lastAttemptAt: string | null
  nextAttemptAt: string | null
  deliveredAt: string | null
}

export interface DeliveryFilter {
  status?: DeliveryStatus | undefined
  jobId?: string | undefined
  /** Only those after this one, newest first. */
  after?: JobPlace | undefined
  owner: Owner
  limit: number
}

/** One delivery for each of these ended jobs that has an address; part of the transaction that marks their ends as told. */
export async function addDeliveries(trx: DatabaseTransaction, jobIds: string[]): Promise<void> {
  const jobs = await trx
    .selectFrom('jobs')
    .select(['id', 'generation', 'key_id', 'status', 'error', 'finished_at', 'webhook_url'])
    .where('id', 'in', jobIds)
    .where('webhook_url', 'is not', null)
    .execute()
  if (jobs.length === 0) return
  const rows = jobs.map(({ id, generation, key_id, status, error, finished_at, webhook_url }) => ({
    id: randomUUID(),
    job_id: id,
    generation,
    key_id,
    host: URL.parse(webhook_url ?? '')?.host ?? '',
    job_status: status,
    job_error: error && JSON.stringify(error),
    job_finished_at: finished_at
  }))
  await trx
    .insertInto('webhook_deliveries')
    .values(rows)
    .onConflict(conflict => conflict.columns(['job_id', 'generation']).doNothing())
    .execute()
}

/** Newest first. The cursor of the next page is that of the last row. */
export async function listDeliveries(
  db: Database,
  { owner, status, jobId, after, limit }: DeliveryFilter
): Promise<{ items: DeliveryDescription[]; next: JobPlace | undefined }> {
  let query = selectDeliveries(db)
    .orderBy('delivery.created_at', 'desc')
    .orderBy('delivery.id', 'desc')
    .limit(limit + 1)
  if (owner !== null) query = query.where('delivery.key_id', '=', owner)
  if (status) query = query.where('delivery.status', '=', status)
  if (jobId !== undefined) query = query.where('delivery.job_id', '=', jobId)
  if (after) {
    const at = sql`'epoch'::timestamptz + ${after.createdUs}::bigint * interval '1 microsecond'`
    query = query.where(sql<SqlBool>`(delivery.created_at, delivery.id) < (${at}, ${after.id})`)
  }
  const rows = await query.execute()
  const last = rows.length > limit ? rows[limit - 1] : undefined
  return {
    items: rows.slice(0, limit).map(describe),
    next: last && { createdUs: last.created_us, id: last.id }
  }
}

/** Sends one anew, at once and then for another day, whatever became of it. Undefined: there is none. */
export async function resendDelivery(db: Database, id: string): Promise<DeliveryDescription | undefined> {
  await db
    .updateTable('webhook_deliveries')
    .set({ status: 'PENDING', attempts: 0, next_at: sql<Date>`now()`, delivered_at: null })
    .where('id', '=', id)
    .execute()
  const row = await selectDeliveries(db).where('delivery.id', '=', id).executeTakeFirst()
  return row && describe(row)
}

function selectDeliveries(db: Database) {
  return db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('jobs', 'jobs.id', 'delivery.job_id')
    .selectAll('delivery')
    .select([
      'jobs.webhook_url',
      sql<string>`(extract(epoch from delivery.created_at) * 1000000)::bigint::text`.as('created_us')
    ])
}

type Selected = Awaited<ReturnType<ReturnType<typeof selectDeliveries>['execute']>>[number]

function describe(row: Selected): DeliveryDescription {
  return {
    id: row.id,
    jobId: row.job_id,
    url: row.webhook_url?.replace(/[?#].*/s, '') ?? '',
    status: row.status,
    attempts: row.attempts,
    responseStatus: row.response_status,
    error: row.error,
    createdAt: row.created_at.toISOString(),
    lastAttemptAt: row.last_attempt_at?.toISOString() ?? null,
    nextAttemptAt: row.status === 'PENDING' ? row.next_at.toISOString() : null,
    deliveredAt: row.delivered_at?.toISOString() ?? null
  }
}
