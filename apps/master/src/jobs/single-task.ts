import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Database, JobRow, UnitRow } from '../database/schema.ts'
import type { JobOutcome, StoredOutput } from './definition.ts'
import { keepOutput } from './output.ts'

/** The `merge` of a job of one unit: it ends as its unit did, with the unit's output. */
export async function mergeSingle(
  deps: { db: Database; blobs: BlobStore },
  job: JobRow,
  units: UnitRow[]
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
  unit: UnitRow
): Promise<StoredOutput> {
  if (unit.output_ref !== null) return { output: null, output_ref: unit.output_ref }
  const kept = await keepOutput(blobs, job.id, unit.output)
  if (kept.output_ref !== null) {
    const moved = { output: null, output_ref: kept.output_ref }
    await db.updateTable('units').set(moved).where('id', '=', unit.id).execute()
  }
  return kept
}
