import { ScError } from '@sc/shared/errors.ts'
import { type DescribeDeps, describeJob, type JobDescription } from '../jobs/describe.ts'

/** How a job stands; SC_NOT_FOUND. */
export async function findJob(deps: DescribeDeps, jobId: string): Promise<JobDescription> {
  const job = await describeJob(deps, jobId)
  if (job) return job
  throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
}
