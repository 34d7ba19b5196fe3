import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import { type RawBuilder, type SqlBool, sql } from 'kysely'
import { isOpenOfJob } from '../database/by-id.ts'
import { type Database, type JobRow, OPEN_JOB } from '../database/schema.ts'
import { type Definitions, definitionOf, type JobOutcome } from './definition.ts'
import { endJob, notifyJob, type SettleDeps } from './settle.ts'
import { mergeSingle } from './single-task.ts'
import { type UnitsToMerge, unitsToMerge } from './units-to-merge.ts'

const AT_MOST = 1_000
/** Merges of a job that may end with the master that ran them: one that takes it down is not to do so at every start. */
const MOST_BEGUN = 3
/** Results of a job's units, as JSON text: as objects, several times as large, they are in memory at once. */
const MOST_MERGED_BYTES = 128 * 1024 ** 2
/** What they take there, as far as their text tells: an object or a list is some 56 bytes, a value 8 or a few more. */
const MOST_MERGED_MEMORY = 512 * 1024 ** 2
const LIST_BYTES = 56
const VALUE_BYTES = 8
const MEMORY_OF_OUTPUT = sql<number>`
  (octet_length(output::text) - octet_length(translate(output::text, '[{', ''))) * ${sql.lit(LIST_BYTES)}
    + (octet_length(output::text) - octet_length(replace(output::text, ',', ''))) * ${sql.lit(VALUE_BYTES)}`

export interface FinishDeps extends SettleDeps {
  blobs: BlobStore
  definitions: Pick<Definitions, 'find'>
}

export type SettledJob = Pick<JobRow, 'id' | 'task'>

/** Open jobs of which every unit is known and settled; of all, the oldest thousand. */
export async function settledJobs(db: Database, among?: string[]): Promise<SettledJob[]> {
  let query = db
    .selectFrom('jobs')
    .select(['id', 'task'])
    .where('planned', '=', true)
    .where('status', 'in', OPEN_JOB)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('units').select('units.id').whereRef('job_id', '=', 'jobs.id').where(isOpenOfJob)))
    )
    .orderBy('created_at')
    .limit(AT_MOST)
  query = among
    ? query.where('id', 'in', among)
    : // None of a job that is delayed can be settled.
      query.where(sql<SqlBool>`(run_at is null or run_at <= now())`)
  return await query.execute()
}

/** Runs a settled job's `merge` and writes how it ended, once. */
export function createFinish(deps: FinishDeps) {
  return async (jobId: string, triesLeft: number, signal: AbortSignal): Promise<void> => {
    if ((await settledJobs(deps.db, [jobId])).length === 0) return
    const job = await begin(deps.db, jobId)
    if (!job) return
    let hasEnded = false
    try {
      if (job.merges_begun > MOST_BEGUN) throw tooManyBegun(job)
      hasEnded = await merge(deps, job, signal)
    } catch (thrown) {
      const error = toScError(thrown)
      if (error.retryable && triesLeft > 0) {
        // PostgreSQL may be away: then this one counts as if the master had ended.
        await takeBack(deps.db, job).catch(() => {})
        throw error
      }
      await endJob(deps, jobId, 'FAILED', error.toReport())
      return
    }
    // A cancel that came first has told it already.
    if (hasEnded) await deps.onEnded([jobId])
  }
}

/** Counts a merge before it begins. Undefined: the job is no longer open. */
async function begin(db: Database, jobId: string): Promise<JobRow | undefined> {
  return await db
    .updateTable('jobs')
    .set(eb => ({ merges_begun: eb('merges_begun', '+', 1) }))
    .where('id', '=', jobId)
    .where('status', 'in', OPEN_JOB)
    .returningAll()
    .executeTakeFirst()
}

/** It ended, and the master did not. */
async function takeBack(db: Database, { id, generation }: JobRow): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ merges_begun: sql<number>`greatest(merges_begun - 1, 0)` })
    .where('id', '=', id)
    .where('generation', '=', generation)
    .execute()
}

function tooManyBegun({ id }: JobRow): ScError {
  const what = `The results of job ${id} were to be put together ${MOST_BEGUN} times, and each time the master ended before that was done`
  const next = 'See the log of the master for why, then begin the job again (`sc retry`).'
  return new ScError('SC_INTERNAL', `${what}: it is not tried again by itself. ${next}`, { retryable: false })
}

/** Before they are read. */
async function checkSize(db: Database, jobId: string): Promise<void> {
  const bytes = await sumOf(db, jobId, sql<number>`octet_length(output::text)`)
  // A character is no more than a list.
  if (bytes * LIST_BYTES <= MOST_MERGED_MEMORY) return
  const isText = bytes > MOST_MERGED_BYTES
  const memory = isText ? 0 : bytes + (await sumOf(db, jobId, MEMORY_OF_OUTPUT))
  if (!isText && memory <= MOST_MERGED_MEMORY) return
  const [has, most] = (isText ? [bytes, MOST_MERGED_BYTES] : [memory, MOST_MERGED_MEMORY]).map(
    value => `${Math.ceil(value / 1024 ** 2)} MB${isText ? '' : ' in memory'}`
  )
  const what = `The results of the units of job ${jobId} have ${has} together; ${most} are the most that is merged.`
  throw new ScError('SC_TASK_FAILED', `${what} Answer less, or keep what is large elsewhere and answer where.`, {
    retryable: false
  })
}

async function sumOf(db: Database, jobId: string, ofUnit: RawBuilder<number>): Promise<number> {
  const { rows } = await sql<{ sum: number }>`
    select coalesce(sum(${ofUnit}), 0)::float8 as sum from units where job_id = ${jobId}`.execute(db)
  return rows[0]?.sum ?? 0
}

/** False: the job was no longer open. */
async function merge(deps: FinishDeps, job: JobRow, signal: AbortSignal): Promise<boolean> {
  await checkSize(deps.db, job.id)
  const units = unitsToMerge(deps.db, job.id)
  const outcome = job.single
    ? await mergeSingle(deps, job, await units.all())
    : await mergeMany(deps, job, units, signal)
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

async function mergeMany(
  { definitions }: FinishDeps,
  job: JobRow,
  units: UnitsToMerge,
  signal: AbortSignal
): Promise<JobOutcome> {
  return await definitionOf(definitions, job).merge(job, units, signal)
}
