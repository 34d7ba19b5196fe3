import { ScError } from '@sc/shared/errors.ts'
import { isUniqueViolation } from '../database/connect.ts'
import type { Database } from '../database/schema.ts'
import type { TranscribeParams } from '../transcription/params.ts'
import type { QueuePlan } from './plan.ts'

export interface TranscriptionRequest {
  jobId: string
  params: TranscribeParams
  keyId: string
  idempotencyKey: string | null
  /** sha256 of parameters and file: what must be equal for the same idempotency key. */
  requestHash: string
  sourceFile: string
  blobKey: string
  declaredSeconds: number | null
}

export interface Submitted {
  jobId: string
  /** True: the same request with the same idempotency key was here before. */
  existing: boolean
}

/** Writes the job, then queues its plan. From the moment the row is written nothing can lose the job. */
export function createSubmit(deps: { db: Database; queuePlan: QueuePlan }) {
  return async (request: TranscriptionRequest): Promise<Submitted> => {
    const row = {
      id: request.jobId,
      task: 'transcribe',
      priority: request.params.priority,
      input: JSON.stringify(request.params),
      source_file: request.sourceFile,
      blob_key: request.blobKey,
      key_id: request.keyId,
      idempotency_key: request.idempotencyKey,
      request_hash: request.requestHash,
      duration_seconds: request.declaredSeconds,
      webhook_url: request.params.webhook_url
    }
    try {
      await deps.db.insertInto('jobs').values(row).execute()
    } catch (error) {
      if (!isUniqueViolation(error) || request.idempotencyKey === null) throw error
      return { jobId: await findSame(deps.db, request, request.idempotencyKey), existing: true }
    }
    await deps.queuePlan({ id: request.jobId, task: row.task })
    return { jobId: request.jobId, existing: false }
  }
}

/** The job of an earlier request with the same idempotency key; SC_IDEMPOTENCY_CONFLICT: it was another request. */
export async function findSame(
  db: Database,
  { keyId, requestHash }: Pick<TranscriptionRequest, 'keyId' | 'requestHash'>,
  idempotencyKey: string
): Promise<string> {
  const job = await db
    .selectFrom('jobs')
    .select(['id', 'request_hash'])
    .where('key_id', '=', keyId)
    .where('idempotency_key', '=', idempotencyKey)
    .executeTakeFirstOrThrow()
  if (job.request_hash === requestHash) return job.id
  throw new ScError(
    'SC_IDEMPOTENCY_CONFLICT',
    `Idempotency-Key "${idempotencyKey}" belongs to job ${job.id}, which had another input or other parameters. Use a new key.`
  )
}

/** Whether its row was written; true also when nobody can tell. */
export async function isJob(db: Database, jobId: string): Promise<boolean> {
  const found = db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
  return await found.then(
    row => row !== undefined,
    () => true
  )
}
