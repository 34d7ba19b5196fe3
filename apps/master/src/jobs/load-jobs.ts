import { join } from 'node:path'
import { type DefinedJob, isDefinedJob } from '@sc/shared/define-job.ts'
import { isTask } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { loadFile, reasonOf } from '@sc/shared/load-file.ts'
import type { Logger } from '@sc/shared/log.ts'
import { nodeTaskFiles } from '@sc/shared/task-files.ts'

/** Jobs of the user's own, from the files of the master's tasks folder. A file that fails is left out, and said. */
export async function loadJobs(tasksDir: string | undefined, log: Logger): Promise<DefinedJob[]> {
  const jobs: DefinedJob[] = []
  for (const file of tasksDir ? nodeTaskFiles(tasksDir) : []) {
    try {
      for (const job of jobsOf(await loadFile(join(tasksDir as string, file)))) {
        if (jobs.some(({ name }) => name === job.name))
          throw new ScError('SC_CONFIG', `another file has a job ${job.name} already`)
        jobs.push(job)
      }
    } catch (error) {
      log.error(`The file ${file} of the tasks folder was left out: ${reasonOf(error)}`)
    }
  }
  return jobs
}

/** A file may be a task's, which is the workers'. */
function jobsOf(exported: unknown[]): DefinedJob[] {
  const found = exported.filter(isDefinedJob)
  if (found.length > 0 || exported.some(isTask)) return found
  throw new ScError('SC_CONFIG', 'it exports neither a task nor a job: write `export default defineJob({ … })`')
}
