import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql, type Updateable } from 'kysely'
import type { Logger } from 'pino'
import type { Room } from '../cluster/room.ts'
import type { TaskRegistry } from '../cluster/task-registry.ts'
import { type Database, OPEN_JOB, type ScheduleRow, type SchedulesTable } from '../database/schema.ts'
import { checkTask } from './check-task.ts'
import { nextTime } from './cron.ts'
import type { createSubmitTask } from './submit-task.ts'
import type { CheckInput } from './task-input.ts'

/**
 * Submits what is due, then moves its time on to the next one after now: what was missed while no master was there, or no
 * room, runs once. The key of a job has the time in it: submitting again, by another master or after a crash in between, finds
 * the same job. Keys go side by side, each one schedule after the other: an input may wait long to be checked, and holds up
 * those of its own key alone.
 */
export interface SchedulesDeps {
  db: Database
  tasks: TaskRegistry
  checkInput: CheckInput
  room: Pick<Room, 'check'>
  log: Logger
  submitTask: ReturnType<typeof createSubmitTask>
}

const EVERY_MS = 1_000

/** Each with one input in memory, and for a moment a connection. */
const KEYS_AT_ONCE = 16

export function startSchedules(deps: SchedulesDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping
  const underWay = new Map<string, Promise<void>>()

  async function beginDue(): Promise<void> {
    for (const { key_id, ids } of await dueByKey(deps.db)) {
      if (underWay.has(key_id)) continue
      if (underWay.size >= KEYS_AT_ONCE) await Promise.race(underWay.values())
      if (signal.aborted) return
      const submitting = submitEach(deps, ids, signal).finally(() => underWay.delete(key_id))
      underWay.set(key_id, submitting)
    }
  }

  const running = (async () => {
    while (!signal.aborted) {
      await beginDue().catch(error => deps.log.warn({ err: error }, 'looking for due schedules failed; trying again'))
      await pause(EVERY_MS, signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
      await Promise.all(underWay.values())
    }
  }
}

/** The key that waits longest first, and so its schedules. */
async function dueByKey(db: Database): Promise<Array<{ key_id: string; ids: string[] }>> {
  return await db
    .selectFrom('schedules')
    .select('key_id')
    .select(sql<string[]>`array_agg(id order by next_at)`.as('ids'))
    .where('next_at', '<=', sql<Date>`now()`)
    .groupBy('key_id')
    .orderBy(sql`min(next_at)`)
    .execute()
}

async function submitEach(deps: SchedulesDeps, ids: string[], signal: AbortSignal): Promise<void> {
  for (const id of ids) {
    if (signal.aborted || !hasRoom(deps)) return
    // One that fails must not keep the others from their turn.
    await submitOne(deps, id, signal).catch(error => deps.log.warn({ err: error, scheduleId: id }, 'a schedule failed'))
  }
}

/** No connection is held while it submits, which takes another: sixteen keys would take all there are, and wait for more. */
async function submitOne(deps: SchedulesDeps, id: string, signal: AbortSignal): Promise<void> {
  const { db } = deps
  const due = await readDue(db, id)
  if (!due || (due.overlap === 'queue' && (await isOpen(db, due.last_job_id)))) return
  const checked = await orRefusal(check(deps, due, signal), signal)
  // That may have waited long.
  const now = await readDue(db, id)
  if (now?.next_at.getTime() !== due.next_at.getTime()) return
  if (now.overlap !== 'allow' && (await isOpen(db, now.last_job_id))) {
    if (now.overlap === 'skip') await moveOn(db, now, { skipped_at: now.next_at })
    return
  }
  const submitted = 'last_error' in checked ? checked : await orRefusal(submit(deps, now, checked), signal)
  await moveOn(db, now, 'last_error' in submitted ? submitted : { last_job_id: submitted.jobId, last_error: null })
}

/** Without its input, which is read only to be checked: making an object of it may take longer than all the rest. */
const COLUMNS = [
  ...(['id', 'task', 'cron', 'timezone', 'priority', 'max_attempts', 'timeout_ms', 'wait_timeout_ms'] as const),
  ...(['overlap', 'key_id', 'next_at', 'last_job_id'] as const)
] as const
type DueSchedule = Pick<ScheduleRow, (typeof COLUMNS)[number]> & { now: Date }

async function readDue(db: Database, id: string): Promise<DueSchedule | undefined> {
  const due = db.selectFrom('schedules').where('id', '=', id).where('next_at', '<=', sql<Date>`now()`)
  return await due.select(COLUMNS).select(sql<Date>`now()`.as('now')).executeTakeFirst()
}

/** To the next time after now, unless another master was faster. */
async function moveOn(db: Database, schedule: DueSchedule, change: Updateable<SchedulesTable>): Promise<void> {
  const next_at = nextTime(schedule, schedule.now)
  const { id } = schedule
  await db
    .updateTable('schedules')
    .set({ ...change, next_at })
    .where('id', '=', id)
    .where('next_at', '=', schedule.next_at)
    .execute()
}

/** Whether the job before is still there, and has not ended. */
async function isOpen(db: Database, jobId: string | null): Promise<boolean> {
  if (jobId === null) return false
  const job = await db.selectFrom('jobs').select('status').where('id', '=', jobId).executeTakeFirst()
  return job !== undefined && OPEN_JOB.includes(job.status)
}

type Checked = Awaited<ReturnType<typeof checkTask>>

async function check(deps: SchedulesDeps, { id, task, key_id }: DueSchedule, signal: AbortSignal): Promise<Checked> {
  const text = sql<string>`input::text`.as('text')
  const { text: input } = await deps.db
    .selectFrom('schedules')
    .select(text)
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  return await checkTask(deps, task, input, { keyId: key_id, signal: () => signal })
}

async function submit(deps: SchedulesDeps, schedule: DueSchedule, checked: Checked): Promise<{ jobId: string }> {
  const key = `schedule:${schedule.id}:${schedule.next_at.toISOString()}`
  return await deps.submitTask({
    ...checked,
    priority: schedule.priority,
    attempts: schedule.max_attempts ?? undefined,
    timeoutMs: schedule.timeout_ms,
    waitTimeoutMs: schedule.wait_timeout_ms,
    runAt: null,
    keyId: schedule.key_id,
    idempotencyKey: key,
    requestHash: key
  })
}

/** What a request of the same would be refused for is written down, and the schedule goes on. */
async function orRefusal<T extends object>(step: Promise<T>, signal: AbortSignal): Promise<T | { last_error: string }> {
  try {
    return await step
  } catch (error) {
    if (!(error instanceof ScError) || error.retryable || signal.aborted) throw error
    return { last_error: JSON.stringify(error.toReport()) }
  }
}

function hasRoom({ room }: SchedulesDeps): boolean {
  try {
    room.check()
    return true
  } catch {
    return false
  }
}
