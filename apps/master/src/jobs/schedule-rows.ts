import { randomUUID } from 'node:crypto'
import { type ErrorReport, ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { Database, DatabaseTransaction, Overlap, ScheduleRow } from '../database/schema.ts'
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
  overlap: Overlap
  priority: number
  attempts: number | null
  timeoutSeconds: number | null
  waitTimeoutSeconds: number | null
  nextAt: string
  lastJobId: string | null
  lastError: ErrorReport | null
  skippedAt: string | null
  createdAt: string
}

export interface NewSchedule
  extends Pick<TaskRequest, 'task' | 'input' | 'priority' | 'attempts' | 'timeoutMs' | 'waitTimeoutMs' | 'keyId'> {
  name: string | null
  cron: string
  timezone: string
  overlap: Overlap
}

/** Of one key: each is looked at by the masters, and submits for as long as the cluster runs. */
export const MOST_SCHEDULES = 100
/** Of the inputs of a key's schedules together, as JSON: each is read again and again, and listed. */
const MOST_INPUT_BYTES = 1024 ** 2

/** SC_BAD_REQUEST, SC_SCHEDULE_NEVER: its times are none. SC_TOO_MANY_SCHEDULES. */
export async function insertSchedule(db: Database, schedule: NewSchedule): Promise<ScheduleDescription> {
  const { input, attempts, timeoutMs, waitTimeoutMs = null, keyId, ...same } = schedule
  const values = {
    ...same,
    id: randomUUID(),
    input: typeof input === 'string' ? input : JSON.stringify(input),
    max_attempts: attempts ?? null,
    timeout_ms: timeoutMs,
    wait_timeout_ms: waitTimeoutMs,
    key_id: keyId,
    next_at: nextTime(schedule, new Date())
  }
  return await db.transaction().execute(async trx => {
    await checkLimits(trx, keyId, values.input.length)
    return describe(await trx.insertInto('schedules').values(values).returningAll().executeTakeFirstOrThrow())
  })
}

/** Two requests of one key wait for each other. */
async function checkLimits(trx: DatabaseTransaction, keyId: string, inputLength: number): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`schedules of ${keyId}`}, 0))`.execute(trx)
  const { count, bytes } = await trx
    .selectFrom('schedules')
    .select(eb => eb.fn.countAll<string>().as('count'))
    .select(sql<number>`coalesce(sum(octet_length(input::text)), 0)::float8`.as('bytes'))
    .where('key_id', '=', keyId)
    .executeTakeFirstOrThrow()
  const next = 'Delete one with DELETE /api/schedules/{scheduleId}.'
  if (Number(count) >= MOST_SCHEDULES)
    throw new ScError(
      'SC_TOO_MANY_SCHEDULES',
      `This key has ${count} schedules; ${MOST_SCHEDULES} are the most. ${next}`
    )
  if (bytes + inputLength > MOST_INPUT_BYTES)
    throw new ScError(
      'SC_TOO_MANY_SCHEDULES',
      `The inputs of this key's schedules would have ${bytes + inputLength} bytes together; ${MOST_INPUT_BYTES} are the most. ${next} What is larger is best in a file that the task reads.`
    )
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
  const { id, name, task, input, cron, timezone, overlap, priority } = row
  return {
    scheduleId: id,
    name,
    task,
    input,
    cron,
    timezone,
    overlap,
    priority,
    attempts: row.max_attempts,
    timeoutSeconds: secondsOf(row.timeout_ms),
    waitTimeoutSeconds: secondsOf(row.wait_timeout_ms),
    nextAt: row.next_at.toISOString(),
    lastJobId: row.last_job_id,
    lastError: row.last_error,
    skippedAt: row.skipped_at?.toISOString() ?? null,
    createdAt: row.created_at.toISOString()
  }
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : ms / 1000
}
