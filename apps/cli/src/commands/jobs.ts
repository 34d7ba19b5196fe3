/** `sc jobs`: the newest first. */
import { print, printJson } from '@sc/shared/printable.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'
import { formatTable } from '../show/figures.ts'

/** Loose, so that --json keeps what the table does not show. */
const jobSchema = z.looseObject({
  jobId: z.string(),
  task: z.string(),
  status: z.string(),
  progress: z.number(),
  units: z.looseObject({ total: z.number().nullish(), done: z.number() }).nullish(),
  waitingFor: z.string().nullish(),
  createdAt: z.string(),
  error: z.looseObject({ code: z.string() }).nullish()
})
type Job = z.infer<typeof jobSchema>
const pageSchema = z.object({ items: z.array(jobSchema), nextCursor: z.string().nullish() })

export interface ListJobs {
  status?: string
  task?: string
  limit: number
  json: boolean
  signal: AbortSignal
}

export async function listJobs(client: MasterClient, command: ListJobs): Promise<void> {
  const jobs = await fetchJobs(client, command)
  if (command.json) printJson(jobs)
  else if (jobs.length === 0) print('No jobs.\n')
  else print(formatTable(['JOB', 'TASK', 'STATUS', 'DONE', 'UNITS', 'CREATED', 'NOTE'], jobs.map(rowOf)))
}

async function fetchJobs(client: MasterClient, { status, task, limit, signal }: ListJobs): Promise<Job[]> {
  const jobs: Job[] = []
  let cursor: string | null | undefined
  do {
    const query = new URLSearchParams(
      Object.entries({ status, task, cursor }).flatMap(([name, value]) => pair(name, value))
    )
    const page = await client.get(`/api/jobs?${query}`, pageSchema, signal)
    jobs.push(...page.items)
    cursor = page.nextCursor
  } while (cursor && jobs.length < limit)
  return jobs.slice(0, limit)
}

function pair(name: string, value: string | null | undefined): Array<[string, string]> {
  return value ? [[name, value]] : []
}

function rowOf({ jobId, task, status, progress, units, createdAt, waitingFor, error }: Job): string[] {
  const done = `${Math.floor(progress * 100)} %`
  const of = units ? `${units.done}/${units.total ?? '?'}` : ''
  return [jobId, task, status, done, of, createdAt.slice(0, 19).replace('T', ' '), error?.code ?? waitingFor ?? '']
}
