import { randomUUID } from 'node:crypto'
import { isUniqueViolation } from '../database/connect.ts'
import type { Database, DatabaseTransaction, UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Dispatch } from './dispatch.ts'
import type { QueuePlan } from './plan.ts'
import { findSame, type Submitted } from './submit.ts'
import { insertNew } from './units.ts'

export interface TaskRequest {
  task: string
  /** Null: a job, which is planned. */
  queue: string | null
  /** Checked against the task's schema. */
  input: Record<string, unknown>
  priority: number
  /** Undefined: as many as any unit has. */
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

export interface SubmitTaskDeps {
  db: Database
  dispatch: Pick<Dispatch, 'wake'>
  queuePlan: QueuePlan
}

/** Writes the job and its one unit at once, then has the unit queued. Once they are written nothing can lose the job. */
export function createSubmitTask({ db, dispatch, queuePlan }: SubmitTaskDeps) {
  return async (request: TaskRequest): Promise<Submitted> => {
    const jobId = randomUUID()
    let unit: Pick<UnitRow, 'queue'> | null
    try {
      unit = await transact(db, trx => insertJob(trx, jobId, request))
    } catch (error) {
      if (!isUniqueViolation(error) || request.idempotencyKey === null) throw error
      return { jobId: await findSame(db, request, request.idempotencyKey), existing: true }
    }
    if (unit) dispatch.wake([unit.queue])
    else await queuePlan({ id: jobId, task: request.task }, request.runAt)
    return { jobId, existing: false }
  }
}

async function insertJob(
  trx: DatabaseTransaction,
  jobId: string,
  request: TaskRequest
): Promise<Pick<UnitRow, 'queue'> | null> {
  const { task, queue, input, timeoutMs } = request
  const job = await trx
    .insertInto('jobs')
    .values({
      id: jobId,
      task,
      single: queue !== null,
      planned: queue !== null,
      priority: request.priority,
      input: JSON.stringify(input),
      key_id: request.keyId,
      idempotency_key: request.idempotencyKey,
      request_hash: request.requestHash,
      run_at: request.runAt,
      timeout_ms: timeoutMs,
      wait_timeout_ms: request.waitTimeoutMs ?? null,
      ...(request.attempts && { max_attempts: request.attempts })
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  if (queue === null) return null
  const deadlineMs = timeoutMs ?? DEFAULT_TIMEOUT_MS
  const draft = { task, index: 0, queue, input: null, params: input, blobs: {}, span: {}, seconds: 0, deadlineMs }
  await insertNew(trx, job, [draft], false)
  return { queue }
}
