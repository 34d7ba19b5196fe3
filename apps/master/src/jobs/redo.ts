import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import type { DatabaseTransaction, JobRow } from '../database/schema.ts'
import { OPEN_JOB } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import { beginAgain, heldUnits, queueAgain, SPARE } from './begin-again.ts'
import type { RetryDeps } from './retry.ts'
import { notifyJob, stopUnits } from './settle.ts'
import { isTouchedBy, REDOABLE_JOB } from './worker-jobs.ts'

export interface RedoDeps extends RetryDeps {
  redis: Redis
}

/**
 * Does a job anew, under its id, that stands on the answers of a worker, however far it is. All of its units go: one answer
 * that was made up (a language, say) may have decided what the others were asked. False: it stands on none, or is gone.
 */
export function createRedo({ db, dispatch, redis, queuePlan, onEnded }: RedoDeps) {
  return async (jobId: string, workerId: string): Promise<boolean> => {
    await onEnded([jobId])
    const done = await transact(db, async trx => {
      const found = await lock(trx, jobId, workerId)
      if (!found) return null
      const held = await heldUnits(trx, jobId)
      const isOpen = OPEN_JOB.includes(found.status)
      const job = await beginAgain(trx, jobId, isOpen ? sql<Date>`now() + ${SPARE}` : sql<null>`null`)
      const again = job.single ? await queueAgain(trx, job, ['DONE', 'FAILED']) : null
      if (again === null) await trx.deleteFrom('units').where('job_id', '=', jobId).execute()
      await notifyJob(trx, jobId)
      return { job, held, again }
    })
    if (!done) return false
    const { job, held, again } = done
    await stopUnits(
      redis,
      held.filter(({ status }) => status === 'RUNNING')
    )
    await dispatch.withdraw(held.filter(({ status }) => status === 'QUEUED'))
    if (again === null) await queuePlan(job, job.run_at)
    else dispatch.wake(again.map(({ queue }) => queue))
    return true
  }
}

async function lock(
  trx: DatabaseTransaction,
  jobId: string,
  workerId: string
): Promise<Pick<JobRow, 'status'> | undefined> {
  const job = await trx
    .selectFrom('jobs')
    .select(['status', 'told', isTouchedBy(workerId).as('touched')])
    .where('id', '=', jobId)
    .forUpdate()
    .executeTakeFirst()
  if (!job?.touched || !REDOABLE_JOB.includes(job.status)) return undefined
  // What follows an end is over before the end is taken back.
  return job.told || OPEN_JOB.includes(job.status) ? job : undefined
}
