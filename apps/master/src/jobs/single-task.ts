import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { sql } from 'kysely'
import type { Database, DatabaseTransaction, JobRow } from '../database/schema.ts'
import type { JobOutcome, StoredOutput } from './definition.ts'
import { keepOutput, LARGEST_IN_ROW_BYTES } from './output.ts'
import type { UnitToMerge } from './units-to-merge.ts'

/**
 * Ends jobs of one unit together with their units, in the transaction that settles these; those with an output that is too
 * large for a row go the longer way of `mergeSingle`. Answers the ids of the jobs that ended.
 */
export async function endSingles(trx: DatabaseTransaction, unitIds: string[]): Promise<string[]> {
  if (unitIds.length === 0) return []
  const { rows } = await sql<{ id: string }>`
    update jobs set
      status = case units.status when 'DONE' then 'COMPLETED' else 'FAILED' end,
      output = units.output, error = units.error, progress = greatest(progress, (units.status = 'DONE')::integer),
      started_at = coalesce(jobs.started_at, units.started_at), finished_at = now()
    from units
    where units.id = any(${unitIds}::text[]) and jobs.id = units.job_id and jobs.single
      and jobs.status in ('PENDING', 'RUNNING')
      and (units.output is null or octet_length(units.output::text) <= ${LARGEST_IN_ROW_BYTES})
    returning jobs.id`.execute(trx)
  return rows.map(({ id }) => id)
}

/** The `merge` of a job of one unit: it ends as its unit did, with the unit's output. */
export async function mergeSingle(
  deps: { db: Database; blobs: BlobStore },
  job: JobRow,
  units: UnitToMerge[]
): Promise<JobOutcome> {
  const [unit] = units
  if (!unit) throw new Error(`job ${job.id} has no unit`)
  const same = { gaps: [], language: null }
  if (unit.status !== 'DONE') return { ...same, status: 'FAILED', error: unit.error }
  return { ...same, status: 'COMPLETED', error: null, output: await takeOver(deps, job, unit) }
}

/** A large output leaves its unit's row; a merge that was cut off finds it in its blob. */
async function takeOver(
  { db, blobs }: { db: Database; blobs: BlobStore },
  job: JobRow,
  unit: UnitToMerge
): Promise<StoredOutput> {
  if (unit.output_ref !== null) return { output: null, output_ref: unit.output_ref }
  const kept = await keepOutput(blobs, job.id, unit.output)
  if (kept.output_ref !== null) {
    const moved = { output: null, output_ref: kept.output_ref }
    await db.updateTable('units').set(moved).where('id', '=', unit.id).execute()
  }
  return kept
}
