/**
 * DESIGN: how the end of a job reaches the address that came with it. A delivery is a row, written in the transaction that
 * marks the end as told, and kept with its job: nothing but PostgreSQL is needed for it, and no restart loses it.
 *
 *   PENDING, due --taken: lease of a master--> POST --accepted--> DELIVERED
 *      ^  ^                                     |---failed, tries left----> PENDING, after a pause (`back-off.ts`)
 *      |  |                                     |---refused for good, or no tries left--> FAILED
 *      |  \--master stops: at once; master killed: when the lease runs out--/
 *      \--resent by hand-- DELIVERED or FAILED
 *
 * At least once: a receiver knows a second attempt by its `webhook-id`. Fair: one delivery of a key and one of a host is
 * under way on a master, and the key that waits longest goes first, so an address that never answers holds up its own.
 */
import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Logger } from 'pino'
import { type Database, type DeliveryRow, hasResult } from '../database/schema.ts'
import { type Outbound, type PostOutcome, postWebhook } from './post-webhook.ts'
import { readSecrets } from './secrets.ts'
import { signedHeaders } from './sign.ts'
import {
  type DueDelivery,
  dueDeliveries,
  giveDeliveryBack,
  refuseDelivery,
  settleDelivery,
  takeDelivery
} from './take-delivery.ts'

export interface SenderDeps {
  db: Database
  log: Logger
  /** Address of the API for clients; undefined: it does not listen yet, and nothing is sent. */
  apiUrl(): string | undefined
  outbound?: Outbound | undefined
  /** Default: LOOK_MS. */
  lookEveryMs?: number | undefined
}

export interface WebhookSender {
  /** There may be something to send. */
  wake(): void
  stop(): Promise<void>
}

/** They cost little; of one key there is one. */
const AT_ONCE = 32
/** For what other masters left, times that have come, and wakes that were lost. */
const LOOK_MS = 1_000

interface Open extends DueDelivery {
  readonly ended: Promise<void>
}

export function startWebhookSender({
  db,
  log,
  apiUrl,
  outbound = {},
  lookEveryMs = LOOK_MS
}: SenderDeps): WebhookSender {
  const stopping = new AbortController()
  const { signal } = stopping
  const open = new Map<string, Open>()
  const lastBegun = new Map<string, number>()
  let woken = new AbortController()

  async function fill(): Promise<void> {
    while (open.size < AT_ONCE && apiUrl() !== undefined) {
      const due = await dueDeliveries(db, [...open.values()])
      due.sort((a, b) => (lastBegun.get(a.key_id) ?? 0) - (lastBegun.get(b.key_id) ?? 0))
      let begun = 0
      for (const next of due) if (await begin(next)) begun++
      if (begun === 0) return
    }
  }

  /** False: it has to wait, or another master has it. */
  async function begin(next: DueDelivery): Promise<boolean> {
    const isBusy = [...open.values()].some(({ host }) => host === next.host)
    if (isBusy || open.size >= AT_ONCE || signal.aborted) return false
    const taken = await takeDelivery(db, next.id)
    if (!taken) return false
    lastBegun.set(next.key_id, performance.now())
    open.set(next.id, { ...next, ended: sendOne(taken) })
    return true
  }

  async function sendOne(taken: DeliveryRow): Promise<void> {
    try {
      const outcome = await attempt(taken)
      if (!outcome) return
      await settleDelivery(db, taken, outcome)
      const { id, job_id: jobId, host } = taken
      if (outcome.error) log.info({ deliveryId: id, jobId, host, err: outcome.error }, 'a webhook was not accepted')
    } catch (error) {
      // Else its lease runs out by itself: at once, an error that stays would send without end.
      if (signal.aborted) await giveDeliveryBack(db, taken).catch(() => {})
      else
        log.warn({ err: error, deliveryId: taken.id }, 'what came of a webhook was not written down; it is sent again')
    } finally {
      open.delete(taken.id)
      wake()
    }
  }

  /** Undefined: there was none. */
  async function attempt(taken: DeliveryRow): Promise<PostOutcome | undefined> {
    const job = await db
      .selectFrom('jobs')
      .leftJoin('api_keys', 'api_keys.id', 'jobs.key_id')
      .select(['task', 'webhook_url', 'revoked_at'])
      .where('jobs.id', '=', taken.job_id)
      .executeTakeFirst()
    // Forgotten meanwhile, and its deliveries with it.
    if (!job?.webhook_url) return undefined
    if (job.revoked_at) {
      const why = 'The key that submitted the job was revoked: its webhooks are not sent.'
      await refuseDelivery(db, taken, new ScError('SC_WEBHOOK_FAILED', why, { retryable: false }))
      return undefined
    }
    const body = JSON.stringify(bodyOf(taken, job.task, apiUrl() ?? ''))
    const headers = signedHeaders(taken.id, body, await readSecrets(db, taken.key_id))
    return await postWebhook(job.webhook_url, { body, headers }, { ...outbound, signal })
  }

  function wake(): void {
    woken.abort()
  }

  const filling = (async () => {
    while (!signal.aborted) {
      woken = new AbortController()
      await fill().catch(error => log.debug({ err: error }, 'looking for webhooks to send failed; trying again'))
      await pause(lookEveryMs, AbortSignal.any([signal, woken.signal]))
    }
  })()

  return {
    wake,
    stop: async () => {
      stopping.abort()
      await filling
      await Promise.all([...open.values()].map(({ ended }) => ended))
    }
  }
}

/** What the receiver gets. */
function bodyOf(
  { job_id: jobId, job_status: status, job_error, job_finished_at }: DeliveryRow,
  task: string,
  apiUrl: string
) {
  const path = task === 'transcribe' ? `/transcribe/${jobId}/result` : `/api/jobs/${jobId}/result`
  return {
    jobId,
    status,
    resultUrl: hasResult(status) ? `${apiUrl.replace(/\/+$/, '')}${path}` : null,
    error: job_error,
    finishedAt: job_finished_at?.toISOString() ?? null
  }
}
