import { randomUUID } from 'node:crypto'
import { isUniqueViolation } from '../database/connect.ts'
import type { Database } from '../database/schema.ts'
import { tried } from '../database/transact.ts'
import type { Dispatch } from './dispatch.ts'
import { insertSingle } from './insert-single.ts'
import type { QueuePlan } from './plan.ts'
import { findSame, type Submitted } from './submit.ts'

export interface TaskRequest {
  task: string
  /** Null: a job, which is planned. */
  queue: string | null
  /** Checked against the task's schema. */
  input: Record<string, unknown>
  /** Of its task; left out: true. */
  retryCrashes?: boolean
  priority: number
  /** Undefined: DEFAULT_ATTEMPTS. */
  attempts: number | undefined
  /** Of one attempt; null: DEFAULT_TIMEOUT_MS. */
  timeoutMs: number | null
  /** How long a unit may wait for a slot; left out or null: any time. */
  waitTimeoutMs?: number | null
  /** Null: at once. */
  runAt: Date | null
  keyId: string
  idempotencyKey: string | null
  /** sha256 of what must be equal for the same idempotency key. */
  requestHash: string
}

/** How long an attempt may take when the request does not say. */
export const DEFAULT_TIMEOUT_MS = 60 * 60_000
/** How often a unit is tried, likewise. */
export const DEFAULT_ATTEMPTS = 3

/** Characters of an input that takes the short way: in Redis, inputs are bounded by the rounds of the dispatcher. */
const SMALL_INPUT = 64 * 1024

export interface SubmitTaskDeps {
  db: Database
  requestDb: Database
  dispatch: Pick<Dispatch, 'added' | 'send'>
  queuePlan: QueuePlan
  /** Whether a slot is idle that would take a unit of this queue. */
  isAwaited(queue: string): boolean
}

/**
 * Writes the job and its one unit at once, then has the unit queued. Once they are written nothing can lose the job. Where a
 * slot waits for it nothing else does: the unit goes into its queue without a round of the dispatcher.
 */
export function createSubmitTask({ db, requestDb, dispatch, queuePlan, isAwaited }: SubmitTaskDeps) {
  return async (request: TaskRequest): Promise<Submitted> => {
    const { queue } = request
    const job = toJob(request)
    try {
      if (queue === null) await db.insertInto('jobs').values(job).execute()
      else {
        const isSent = request.runAt === null && job.input.length <= SMALL_INPUT && isAwaited(queue)
        const { timeoutMs, retryCrashes = true } = request
        const unit = { queue, deadlineMs: timeoutMs ?? DEFAULT_TIMEOUT_MS, retryCrashes, isSent }
        const added = await tried(() => insertSingle(requestDb, job, unit))
        if (isSent) dispatch.send(added)
        else if (request.runAt === null) dispatch.added([added])
      }
    } catch (error) {
      if (!isUniqueViolation(error) || request.idempotencyKey === null) throw error
      return { jobId: await findSame(db, request, request.idempotencyKey), existing: true }
    }
    if (queue === null) await queuePlan({ id: job.id, task: job.task }, request.runAt)
    return { jobId: job.id, existing: false }
  }
}

function toJob(request: TaskRequest) {
  return {
    id: randomUUID(),
    task: request.task,
    single: request.queue !== null,
    planned: request.queue !== null,
    priority: request.priority,
    input: JSON.stringify(request.input),
    key_id: request.keyId,
    idempotency_key: request.idempotencyKey,
    request_hash: request.requestHash,
    run_at: request.runAt,
    timeout_ms: request.timeoutMs,
    wait_timeout_ms: request.waitTimeoutMs ?? null,
    max_attempts: request.attempts ?? DEFAULT_ATTEMPTS
  }
}
