import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Database } from '../database/schema.ts'
import type { Metrics } from '../metrics.ts'

export interface AfterEndDeps {
  db: Database
  blobs: BlobStore
  metrics: Metrics
  queueWebhook(jobId: string): Promise<void>
}

const AT_ONCE = 1_000

/**
 * What follows the end of jobs: it is counted, their webhooks are queued, the audio of their units goes (the recording and
 * the result stay). Written down last, so that what a crash cut off is done again by the reconciler.
 */
export function createAfterEnd(deps: AfterEndDeps) {
  return async (jobIds: string[]): Promise<void> => {
    if (jobIds.length === 0) return
    const { db, blobs, metrics } = deps
    const jobs = await db
      .selectFrom('jobs')
      .select(['id', 'task', 'status', 'single', 'webhook_url'])
      .where('id', 'in', jobIds)
      .where('finished_at', 'is not', null)
      .where('told', '=', false)
      .execute()
    if (jobs.length === 0) return
    for (const { id, task, status, single, webhook_url } of jobs) {
      if (webhook_url !== null) await deps.queueWebhook(id)
      // A job of one unit has no audio of its own making.
      if (!single) await blobs.removePrefix(`units/${id}`)
      metrics.jobFinished(task, status)
    }
    const ids = jobs.map(({ id }) => id)
    await db
      .updateTable('jobs')
      .set({ told: true })
      .where('id', 'in', ids)
      .where('finished_at', 'is not', null)
      .execute()
  }
}

/** Jobs that ended a while ago and of which that was not written. */
export async function untoldJobs(db: Database): Promise<string[]> {
  const jobs = await db
    .selectFrom('jobs')
    .select('id')
    .where('finished_at', 'is not', null)
    .where('told', '=', false)
    .orderBy('finished_at')
    .limit(AT_ONCE)
    .execute()
  return jobs.map(({ id }) => id)
}
