import { type SqlBool, sql } from 'kysely'
import { type Database, type JobStatus, OPEN_JOB } from '../database/schema.ts'

/** Jobs that stand on what a worker answered: units that it ended, and results of its that were reused. */
export function isTouchedBy(workerId: string) {
  return sql<SqlBool>`exists (select from units where units.job_id = jobs.id and units.status in ('DONE', 'FAILED')
    and coalesce(units.made_by, units.worker_id) = ${workerId})`
}

/** What was cancelled is not wanted any more. */
export const REDOABLE_JOB: JobStatus[] = [...OPEN_JOB, 'COMPLETED', 'PARTIAL', 'FAILED']

/** Those of them that can be done again, newest first. */
export async function findTouched(db: Database, workerId: string, limit: number): Promise<string[]> {
  const jobs = await db
    .selectFrom('jobs')
    .select('id')
    .where('status', 'in', REDOABLE_JOB)
    .where(isTouchedBy(workerId))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return jobs.map(({ id }) => id)
}
