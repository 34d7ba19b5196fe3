import { ScError } from '@sc/shared/errors.ts'
import { hasResult, OPEN_JOB } from '../database/schema.ts'
import type { JobDescription } from '../jobs/describe.ts'

/** Undefined: the job has a result. */
export function whyNoResult({
  jobId,
  status,
  error
}: Pick<JobDescription, 'jobId' | 'status' | 'error'>): ScError | undefined {
  if (hasResult(status)) return undefined
  if (OPEN_JOB.includes(status))
    return new ScError(
      'SC_NOT_FINISHED',
      `Job ${jobId} is ${status}. Its events say when it ends: /api/jobs/${jobId}/events.`
    )
  const why = error ? `: ${error.code}, ${error.detail}` : ''
  return new ScError('SC_NO_RESULT', `Job ${jobId} ended as ${status}${why}`)
}
