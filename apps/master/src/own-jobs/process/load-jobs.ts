import { join } from 'node:path'
import { type DefinedJob, isDefinedJob } from '@sc/shared/define-job.ts'
import { isTask } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { loadFile, reasonOf } from '@sc/shared/load-file.ts'
import type { LeftOut } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles } from '@sc/shared/task-files.ts'

export interface LoadedJob {
  job: DefinedJob
  file: string
}

/** Imports every file of the tasks folder, in order. A file that fails is left out whole, and does the others no harm. */
export async function loadJobs(tasksDir: string): Promise<{ jobs: LoadedJob[]; leftOut: LeftOut[] }> {
  const jobs: LoadedJob[] = []
  const leftOut: LeftOut[] = []
  for (const file of nodeTaskFiles(tasksDir)) {
    try {
      const found = jobsOf(await loadFile(join(tasksDir, file)))
      for (const { name } of found) {
        const other = jobs.find(({ job }) => job.name === name)
        if (other) throw new ScError('SC_CONFIG', `the job ${name} is in ${other.file} already`)
      }
      jobs.push(...found.map(job => ({ job, file })))
    } catch (error) {
      leftOut.push({ file, reason: reasonOf(error) })
    }
  }
  return { jobs, leftOut }
}

/** A file may be a task's, which is the workers'. */
function jobsOf(exported: unknown[]): DefinedJob[] {
  const found = exported.filter(isDefinedJob)
  if (found.length > 0 || exported.some(isTask)) return found
  throw new ScError('SC_CONFIG', 'it exports neither a task nor a job: write `export default defineJob({ … })`')
}
