import { randomUUID } from 'node:crypto'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Room } from '../cluster/room.ts'
import { isUniqueViolation } from '../database/connect.ts'
import type { Database } from '../database/schema.ts'
import { tried } from '../database/transact.ts'
import type { StoredInput } from './definition.ts'
import type { Dispatch } from './dispatch.ts'
import { insertSingle } from './insert-single.ts'
import { keepInput, LARGEST_IN_ROW } from './large-input.ts'
import type { QueuePlan } from './plan.ts'
import { findSame, isJob, type Submitted } from './submit.ts'

export interface TaskRequest {
  task: string
  /** Null: a job, which is planned. */
  queue: string | null
  /** Checked against the task's schema. Text: as JSON. */
  input: Record<string, unknown> | string
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
  blobs: BlobStore
  /** For large inputs. */
  room: Pick<Room, 'disk'>
  dispatch: Pick<Dispatch, 'added' | 'send'>
  queuePlan: QueuePlan
  /** Whether a slot is idle that would take a unit of this queue. */
  isAwaited(queue: string): boolean
}

/**
 * Writes the job and its one unit at once, then has the unit queued. Once they are written nothing can lose the job. Where a
 * slot waits for it nothing else does: the unit goes into its queue without a round of the dispatcher.
 */
export function createSubmitTask(deps: SubmitTaskDeps) {
  return async (request: TaskRequest): Promise<Submitted> => {
    const jobId = randomUUID()
    const json = typeof request.input === 'string' ? request.input : JSON.stringify(request.input)
    if (json.length <= LARGEST_IN_ROW) return await submit(deps, request, { jobId, json, large: null })
    const large = await keepInput(deps, jobId, json)
    try {
      const submitted = await submit(deps, request, { jobId, json: '{}', large })
      if (submitted.existing) await deps.blobs.remove(large.key)
      return submitted
    } catch (error) {
      // A job whose row was written keeps its input: the reconciler sends its unit.
      if (!(await isJob(deps.db, jobId))) await deps.blobs.remove(large.key)
      throw error
    }
  }
}

interface KeptInput {
  jobId: string
  /** As the rows have it. */
  json: string
  large: StoredInput | null
}

async function submit(deps: SubmitTaskDeps, request: TaskRequest, kept: KeptInput): Promise<Submitted> {
  const { db, requestDb, dispatch, queuePlan, isAwaited } = deps
  const { queue } = request
  const job = toJob(request, kept)
  try {
    if (queue === null) await db.insertInto('jobs').values(job).execute()
    else {
      const isSent = request.runAt === null && kept.json.length <= SMALL_INPUT && isAwaited(queue)
      const { timeoutMs, retryCrashes = true } = request
      const inputSha256 = kept.large?.sha256 ?? null
      const unit = { queue, deadlineMs: timeoutMs ?? DEFAULT_TIMEOUT_MS, retryCrashes, isSent, inputSha256 }
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

function toJob(request: TaskRequest, { jobId, json, large }: KeptInput) {
  return {
    id: jobId,
    task: request.task,
    single: request.queue !== null,
    planned: request.queue !== null,
    priority: request.priority,
    input: json,
    input_ref: large?.key ?? null,
    key_id: request.keyId,
    idempotency_key: request.idempotencyKey,
    request_hash: request.requestHash,
    run_at: request.runAt,
    timeout_ms: request.timeoutMs,
    wait_timeout_ms: request.waitTimeoutMs ?? null,
    max_attempts: request.attempts ?? DEFAULT_ATTEMPTS
  }
}
