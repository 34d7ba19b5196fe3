import type { Database } from '../database/schema.ts'

/** From the least to the most serious. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What the API says of one line of a job's log. */
export interface LogLine {
  at: string
  unitId: string
  level: LogLevel
  message: string
  fields: Record<string, unknown> | null
}

export interface LogPage {
  /** Id of the last line that was seen; lines are numbered upwards. */
  after: string
  /** The least serious level. */
  level: LogLevel
  limit: number
}

/** The next lines of a job's log, oldest first, each with its id. */
export async function readLogs(
  db: Database,
  jobId: string,
  { after, level, limit }: LogPage
): Promise<Array<{ id: string; line: LogLine }>> {
  const rows = await db
    .selectFrom('job_logs')
    .select(['id', 'at', 'unit_id', 'level', 'message', 'fields'])
    .where('job_id', '=', jobId)
    .where('id', '>', after)
    .where('level', 'in', LOG_LEVELS.slice(LOG_LEVELS.indexOf(level)))
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(({ id, at, unit_id, ...line }) => ({ id, line: { at: at.toISOString(), unitId: unit_id, ...line } }))
}
