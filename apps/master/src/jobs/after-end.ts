import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { sql } from 'kysely'
import { type Database, OPEN_JOB } from '../database/schema.ts'
import type { Metrics } from '../metrics.ts'
import { addDeliveries } from '../webhooks/deliveries.ts'
import type { WebhookSender } from '../webhooks/sender.ts'
import { keepCounts } from './unit-counts.ts'

export interface AfterEndDeps {
  db: Database
  blobs: BlobStore
  metrics: Metrics
  webhooks: Pick<WebhookSender, 'wake'>
}

const AT_ONCE = 1_000
/** Until then whoever ended it is still at it. */
const A_WHILE_SECONDS = 5

/**
 * What follows the end of jobs: they and their units are counted, the deliveries of their webhooks are written, the
 * audio of their units goes (the recording and the result stay). Written down last, in one transaction with the deliveries,
 * so that what a crash cut off is done again by the reconciler.
 */
export function createAfterEnd(deps: AfterEndDeps) {
  return async (jobIds: string[]): Promise<void> => {
    if (jobIds.length === 0) return
    const { db, blobs, metrics, webhooks } = deps
    const told = await db.transaction().execute(async trx => {
      // Held until it is done: nobody else does it too, and nobody begins the job again meanwhile.
      const jobs = await trx
        .selectFrom('jobs')
        .select(['id', 'task', 'status', 'single', 'webhook_url'])
        .where('id', 'in', jobIds)
        .where('status', 'not in', OPEN_JOB)
        .where('told', '=', false)
        .forUpdate()
        .skipLocked()
        .execute()
      if (jobs.length === 0) return []
      // A job of one unit has no audio of its own making.
      for (const { id, single } of jobs) if (!single) await blobs.removePrefix(`units/${id}`)
      const hooked = jobs.filter(({ webhook_url }) => webhook_url !== null)
      if (hooked.length > 0)
        await addDeliveries(
          trx,
          hooked.map(({ id }) => id)
        )
      const ids = jobs.map(({ id }) => id)
      await keepCounts(trx, ids)
      await trx.updateTable('jobs').set({ told: true }).where('id', 'in', ids).execute()
      return jobs
    })
    if (told.some(({ webhook_url }) => webhook_url !== null)) webhooks.wake()
    for (const { task, status } of told) metrics.jobFinished(task, status)
  }
}

/** Jobs that ended a while ago and of which that was not written. */
export async function untoldJobs(db: Database): Promise<string[]> {
  const jobs = await db
    .selectFrom('jobs')
    .select('id')
    .where('finished_at', 'is not', null)
    .where('told', '=', false)
    .where('finished_at', '<', sql<Date>`now() - make_interval(secs => ${A_WHILE_SECONDS})`)
    .orderBy('finished_at')
    .limit(AT_ONCE)
    .execute()
  return jobs.map(({ id }) => id)
}
