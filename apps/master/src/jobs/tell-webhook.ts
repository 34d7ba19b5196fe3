import { type Database, hasResult } from '../database/schema.ts'
import { Later } from '../queues/background-queue.ts'
import { deliverWebhook } from './webhook.ts'
import { createWebhookTurns } from './webhook-turns.ts'

/**
 * Tells the address that came with a job how it ended. The background queue tries again when nothing answers, and when it
 * was not its turn. Those of a key that was revoked are not sent.
 */
export function createTellWebhook({ db, deliver = deliverWebhook }: { db: Database; deliver?: typeof deliverWebhook }) {
  const turns = createWebhookTurns()
  return async (jobId: string, _triesLeft: number, signal: AbortSignal): Promise<void> => {
    const job = await db
      .selectFrom('jobs')
      .leftJoin('api_keys', 'api_keys.id', 'jobs.key_id')
      .select(['jobs.id', 'jobs.key_id', 'status', 'error', 'finished_at', 'webhook_url', 'revoked_at'])
      .where('jobs.id', '=', jobId)
      .executeTakeFirst()
    if (!job?.webhook_url || job.revoked_at) return
    const { id, status, error, finished_at, key_id } = job
    const { host } = new URL(job.webhook_url)
    const laterMs = turns.enter(key_id, host)
    if (laterMs !== null) throw new Later(laterMs)
    const resultUrl = hasResult(status) ? `/transcribe/${id}/result` : null
    const body = { jobId: id, status, resultUrl, error, finishedAt: finished_at?.toISOString() ?? null }
    await deliver(job.webhook_url, body, { signal }).finally(() => turns.leave(key_id, host))
  }
}
