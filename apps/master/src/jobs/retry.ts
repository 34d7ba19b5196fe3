import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import { type Database, type DatabaseTransaction, type JobRow, OPEN_JOB } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import { beginAgain, queueAgain, SPARE } from './begin-again.ts'
import type { Dispatch } from './dispatch.ts'
import { RETRYABLE_JOB } from './find-retryable.ts'
import type { QueuePlan } from './plan.ts'
import { notifyJob } from './settle.ts'

const TOLD_WITHIN_MS = 2_000
const LOOK_MS = 20
const NEVER = new AbortController().signal

export interface RetryDeps {
  db: Database
  dispatch: Dispatch
  queuePlan: QueuePlan
  /** What follows an end is done before it is taken back. */
  onEnded(jobIds: string[]): Promise<void>
}

/**
 * Begins an ended job again, under its id: what was done stays done, the rest gets fresh attempts. SC_NOT_FOUND;
 * SC_NOT_FAILED: it is open or complete, so of two who ask at once one is refused.
 */
export function createRetry({ db, dispatch, queuePlan, onEnded }: RetryDeps) {
  return async (jobId: string): Promise<void> => {
    await onEnded([jobId])
    await untilTold(db, jobId)
    const { job, units } = await transact(db, async trx => {
      const reopened = await reopen(trx, jobId)
      await notifyJob(trx, jobId)
      const again = reopened.single ? await queueAgain(trx, reopened, ['FAILED', 'CANCELLED']) : null
      if (again === null) await dropUndone(trx, jobId)
      return { job: reopened, units: again }
    })
    if (units === null) return await queuePlan(job, job.run_at)
    dispatch.wake(units.map(unit => unit.queue))
  }
}

/** Whoever ended it may be at what follows; a job that is open, or not there, is no matter of waiting. */
async function untilTold(db: Database, jobId: string): Promise<void> {
  const endMs = performance.now() + TOLD_WITHIN_MS
  while (performance.now() < endMs) {
    const job = await db.selectFrom('jobs').select(['status', 'told']).where('id', '=', jobId).executeTakeFirst()
    if (!job || job.told || OPEN_JOB.includes(job.status)) return
    await pause(LOOK_MS, NEVER)
  }
}

async function reopen(trx: DatabaseTransaction, jobId: string): Promise<JobRow> {
  // Locked before it is looked at: whoever tells of its end just now holds it until that is written.
  const job = await trx
    .selectFrom('jobs')
    .select(['status', 'told'])
    .where('id', '=', jobId)
    .forUpdate()
    .executeTakeFirst()
  if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
  if (!job.told || !RETRYABLE_JOB.some(status => status === job.status))
    throw new ScError('SC_NOT_FAILED', `Job ${jobId} is ${job.status}: there is nothing to do again.`)
  const runAt = sql<Date | null>`case when status = 'CANCELLED' and finished_at > now() - ${SPARE} then finished_at + ${SPARE} end`
  return await beginAgain(trx, jobId, runAt)
}

/** Their audio went with the job's end: the plan makes both anew, and only then may a worker get them. */
async function dropUndone(trx: DatabaseTransaction, jobId: string): Promise<void> {
  await trx.deleteFrom('units').where('job_id', '=', jobId).where('status', 'in', ['FAILED', 'CANCELLED']).execute()
}
