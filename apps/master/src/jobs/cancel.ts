import { endJob, type SettleDeps } from './settle.ts'

/** Cancels a job. False: there is no such job; one that has ended stays as it is. */
export function createCancel(deps: SettleDeps) {
  return async (jobId: string): Promise<boolean> => {
    if (await endJob(deps, jobId, 'CANCELLED', null)) return true
    const job = await deps.db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
    return job !== undefined
  }
}
