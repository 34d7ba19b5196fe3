import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import { type Database, type DatabaseTransaction, type JobRow, OPEN_JOB, type UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Dispatch } from './dispatch.ts'
import { rankUnits } from './fair-share.ts'
import { RETRYABLE_JOB } from './find-retryable.ts'
import type { QueuePlan } from './plan.ts'
import { notifyJob } from './settle.ts'

/** Workers remember for 3 s which units were cancelled: until then they would end them again. */
const AFTER_CANCEL_SECONDS = 4
const SPARE = sql`make_interval(secs => ${AFTER_CANCEL_SECONDS})`

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
      return { job: reopened, units: reopened.single ? await queueAgain(trx, reopened) : await dropUndone(trx, jobId) }
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

/** The job as it was before its first unit started; a job of many units is planned again. */
async function reopen(trx: DatabaseTransaction, jobId: string): Promise<JobRow> {
  const job = await trx
    .updateTable('jobs')
    .set(eb => ({
      status: 'PENDING',
      planned: eb.ref('single'),
      error: null,
      gaps: '[]',
      output: null,
      output_ref: null,
      progress: 0,
      run_at: sql<Date | null>`case when status = 'CANCELLED' and finished_at > now() - ${SPARE} then finished_at + ${SPARE} end`,
      started_at: null,
      finished_at: null,
      bytes: null,
      told: false,
      counts: null,
      generation: eb('generation', '+', 1)
    }))
    .where('id', '=', jobId)
    .where('told', '=', true)
    .where('status', 'in', [...RETRYABLE_JOB])
    .returningAll()
    .executeTakeFirst()
  if (job) return job
  const there = await trx.selectFrom('jobs').select('status').where('id', '=', jobId).executeTakeFirst()
  if (!there) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
  throw new ScError('SC_NOT_FAILED', `Job ${jobId} is ${there.status}: there is nothing to do again.`)
}

async function queueAgain(trx: DatabaseTransaction, job: JobRow): Promise<UnitRow[]> {
  // Behind what came meanwhile: its old rank would go before everything.
  const [rank = 0] = await rankUnits(trx, job, [0])
  return await trx
    .updateTable('units')
    .set(eb => ({
      status: 'QUEUED',
      rank,
      attempts: 0,
      crashes: 0,
      dispatch: eb('dispatch', '+', 1),
      attempt_id: null,
      worker_id: null,
      slot: null,
      entry: null,
      not_before: job.run_at,
      fraction: 0,
      error: null,
      timings: null,
      queued_at: eb.fn<Date>('now'),
      touched_at: eb.fn<Date>('now'),
      started_at: null,
      finished_at: null
    }))
    .where('job_id', '=', job.id)
    .where('status', 'in', ['FAILED', 'CANCELLED'])
    .returningAll()
    .execute()
}

/** Their audio went with the job's end: the plan makes both anew, and only then may a worker get them. */
async function dropUndone(trx: DatabaseTransaction, jobId: string): Promise<null> {
  await trx.deleteFrom('units').where('job_id', '=', jobId).where('status', 'in', ['FAILED', 'CANCELLED']).execute()
  return null
}
