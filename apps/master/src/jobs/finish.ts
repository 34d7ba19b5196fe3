import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { toScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import { isOpenOfJob } from '../database/by-id.ts'
import { type Database, type JobRow, OPEN_JOB } from '../database/schema.ts'
import { type JobDefinition, type JobOutcome, TO_MERGE, type UnitToMerge } from './definition.ts'
import { endJob, notifyJob, type SettleDeps } from './settle.ts'
import { mergeSingle } from './single-task.ts'

const AT_MOST = 1_000

export interface FinishDeps extends SettleDeps {
  blobs: BlobStore
  definitions: Map<string, JobDefinition>
}

/** Open jobs of which every unit is known and settled; of all, the oldest thousand. */
export async function settledJobs(db: Database, among?: string[]): Promise<string[]> {
  let query = db
    .selectFrom('jobs')
    .select('id')
    .where('planned', '=', true)
    .where('status', 'in', OPEN_JOB)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('units').select('units.id').whereRef('job_id', '=', 'jobs.id').where(isOpenOfJob)))
    )
    .orderBy('created_at')
    .limit(AT_MOST)
  if (among) query = query.where('id', 'in', among)
  return (await query.execute()).map(({ id }) => id)
}

/** Runs a settled job's `merge` and writes how it ended, once. */
export function createFinish(deps: FinishDeps) {
  return async (jobId: string, triesLeft: number): Promise<void> => {
    if ((await settledJobs(deps.db, [jobId])).length === 0) return
    const job = await deps.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirstOrThrow()
    let hasEnded = false
    try {
      hasEnded = await merge(deps, job)
    } catch (thrown) {
      const error = toScError(thrown)
      if (error.retryable && triesLeft > 0) throw error
      await endJob(deps, jobId, 'FAILED', error.toReport())
      return
    }
    // A cancel that came first has told it already.
    if (hasEnded) await deps.onEnded([jobId])
  }
}

/** False: the job was no longer open. */
async function merge(deps: FinishDeps, job: JobRow): Promise<boolean> {
  const units = await deps.db
    .selectFrom('units')
    .select(TO_MERGE)
    .where('job_id', '=', job.id)
    .orderBy('index')
    .execute()
  const outcome = job.single ? await mergeSingle(deps, job, units) : await mergeMany(deps, job, units)
  const { numUpdatedRows } = await deps.db
    .updateTable('jobs')
    .set({
      status: outcome.status,
      error: outcome.error && JSON.stringify(outcome.error),
      gaps: JSON.stringify(outcome.gaps),
      language: outcome.language,
      ...outcome.output,
      started_at: sql<Date>`coalesce(started_at, now())`,
      finished_at: sql<Date>`now()`
    })
    .where('id', '=', job.id)
    // Begun again meanwhile: these were the units of before.
    .where('generation', '=', job.generation)
    .where('status', 'in', OPEN_JOB)
    .executeTakeFirst()
  await notifyJob(deps.db, job.id)
  return numUpdatedRows > 0n
}

async function mergeMany({ definitions }: FinishDeps, job: JobRow, units: UnitToMerge[]): Promise<JobOutcome> {
  const definition = definitions.get(job.task)
  if (!definition) throw new Error(`no job named ${job.task} is known to this master`)
  return await definition.merge(job, units)
}
