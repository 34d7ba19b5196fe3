import { type Database, hasResult } from '../database/schema.ts'
import { deliverWebhook } from './webhook.ts'

/** Tells the address that came with a job how it ended. The background queue tries again when nothing answers. */
export function createTellWebhook({ db }: { db: Database }) {
  return async (jobId: string, _triesLeft: number, signal: AbortSignal): Promise<void> => {
    const job = await db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirst()
    if (!job?.webhook_url) return
    const { id, status, error, finished_at } = job
    const resultUrl = hasResult(status) ? `/transcribe/${id}/result` : null
    const body = { jobId: id, status, resultUrl, error, finishedAt: finished_at?.toISOString() ?? null }
    await deliverWebhook(job.webhook_url, body, { signal })
  }
}
