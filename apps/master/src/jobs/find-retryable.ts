import { sql } from 'kysely'
import type { Database, JobStatus } from '../database/schema.ts'
import type { JobFilter } from './describe.ts'
import { isOf } from './owner.ts'
import { isAfter, type JobPlace } from './select-jobs.ts'

/** Jobs that ended without everything being done. */
export const RETRYABLE_JOB = ['FAILED', 'PARTIAL', 'CANCELLED'] as const satisfies JobStatus[]

export interface RetryFilter extends Pick<JobFilter, 'task' | 'after' | 'limit' | 'owner'> {
  status: (typeof RETRYABLE_JOB)[number]
  /** Submitted before. */
  before: Date | undefined
}

/** Newest first. */
export async function findRetryable(
  db: Database,
  { status, task, before, after, owner, limit }: RetryFilter
): Promise<{ jobIds: string[]; next: JobPlace | undefined }> {
  let query = db
    .selectFrom('jobs')
    .select(['id', sql<string>`(extract(epoch from created_at) * 1000000)::bigint::text`.as('created_us')])
    .where('status', '=', status)
    .where(isOf(owner))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
  if (task !== undefined) query = query.where('task', '=', task)
  if (before !== undefined) query = query.where('created_at', '<', before)
  if (after !== undefined) query = query.where(isAfter(after))
  const rows = await query.execute()
  const page = rows.slice(0, limit)
  const last = rows.length > limit ? page.at(-1) : undefined
  return { jobIds: page.map(({ id }) => id), next: last && { createdUs: last.created_us, id: last.id } }
}
