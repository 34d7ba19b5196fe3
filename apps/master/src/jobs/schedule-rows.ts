import { randomUUID } from 'node:crypto'
import type { ErrorReport } from '@sc/shared/errors.ts'
import type { Database, ScheduleRow } from '../database/schema.ts'
import { nextTime } from './cron.ts'
import { isOf, type Owner } from './owner.ts'
import type { TaskRequest } from './submit-task.ts'

/** What the API says of a schedule. */
export interface ScheduleDescription {
  scheduleId: string
  name: string | null
  task: string
  input: Record<string, unknown>
  cron: string
  timezone: string
  priority: number
  attempts: number | null
  timeoutSeconds: number | null
  waitTimeoutSeconds: number | null
  nextAt: string
  lastJobId: string | null
  lastError: ErrorReport | null
  createdAt: string
}

export interface NewSchedule
  extends Pick<TaskRequest, 'task' | 'input' | 'priority' | 'attempts' | 'timeoutMs' | 'waitTimeoutMs' | 'keyId'> {
  name: string | null
  cron: string
  timezone: string
}

/** SC_BAD_REQUEST: its times are none. */
export async function insertSchedule(db: Database, schedule: NewSchedule): Promise<ScheduleDescription> {
  const { input, attempts, timeoutMs, waitTimeoutMs = null, keyId, ...same } = schedule
  const row = await db
    .insertInto('schedules')
    .values({
      ...same,
      id: randomUUID(),
      input: JSON.stringify(input),
      max_attempts: attempts ?? null,
      timeout_ms: timeoutMs,
      wait_timeout_ms: waitTimeoutMs,
      key_id: keyId,
      next_at: nextTime(schedule, new Date())
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return describe(row)
}

/** Oldest first. */
export async function listSchedules(db: Database, owner: Owner): Promise<ScheduleDescription[]> {
  const all = db.selectFrom('schedules').selectAll().where(isOf(owner))
  const rows = await all.orderBy('created_at').orderBy('id').execute()
  return rows.map(describe)
}

export async function findSchedule(db: Database, id: string): Promise<ScheduleDescription | undefined> {
  const row = await db.selectFrom('schedules').selectAll().where('id', '=', id).executeTakeFirst()
  return row && describe(row)
}

/** Its jobs stay. False: there is no such schedule. */
export async function deleteSchedule(db: Database, id: string): Promise<boolean> {
  return (await db.deleteFrom('schedules').where('id', '=', id).returning('id').executeTakeFirst()) !== undefined
}

function describe(row: ScheduleRow): ScheduleDescription {
  const { id, name, task, input, cron, timezone, priority } = row
  return {
    scheduleId: id,
    name,
    task,
    input,
    cron,
    timezone,
    priority,
    attempts: row.max_attempts,
    timeoutSeconds: secondsOf(row.timeout_ms),
    waitTimeoutSeconds: secondsOf(row.wait_timeout_ms),
    nextAt: row.next_at.toISOString(),
    lastJobId: row.last_job_id,
    lastError: row.last_error,
    createdAt: row.created_at.toISOString()
  }
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : ms / 1000
}
