import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Room } from '../cluster/room.ts'
import type { TaskRegistry } from '../cluster/task-registry.ts'
import type { Database, ScheduleRow } from '../database/schema.ts'
import { checkTask } from './check-task.ts'
import { nextTime } from './cron.ts'
import type { createSubmitTask } from './submit-task.ts'
import type { CheckInput } from './task-input.ts'

/**
 * Submits what is due, then moves its time on to the next one after now: what was missed while no master was there, or no
 * room, runs once. The key of a job has the time in it: submitting again after a crash in between finds the same job. The
 * lock on the row keeps other masters away, and a schedule that was deleted from running afterwards.
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

export function startSchedules(deps: SchedulesDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await submitDue(deps, stopping.signal).catch(error =>
        deps.log.warn({ err: error }, 'looking for due schedules failed; trying again')
      )
      await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

/** Keys take turns: one whose schedules are costly to check holds up each of the others by one check at a time. */
async function submitDue(deps: SchedulesDeps, signal: AbortSignal): Promise<void> {
  const due = await deps.db
    .selectFrom('schedules')
    .select('id')
    .where('next_at', '<=', sql<Date>`now()`)
    .orderBy(sql`row_number() over (partition by key_id order by next_at)`)
    .orderBy('next_at')
    .execute()
  for (const { id } of due) {
    if (signal.aborted || !hasRoom(deps)) return
    // One that fails must not keep the others from their turn.
    await submitOne(deps, id).catch(error => deps.log.warn({ err: error, scheduleId: id }, 'a schedule failed'))
  }
}

async function submitOne(deps: SchedulesDeps, id: string): Promise<void> {
  await deps.db.transaction().execute(async trx => {
    const schedule = await trx
      .selectFrom('schedules')
      .selectAll()
      .select(sql<Date>`now()`.as('now'))
      .where('id', '=', id)
      .where('next_at', '<=', sql<Date>`now()`)
      .forUpdate()
      .skipLocked()
      .executeTakeFirst()
    if (!schedule) return
    const came = await submit(deps, schedule)
    const next_at = nextTime(schedule, schedule.now)
    await trx
      .updateTable('schedules')
      .set({ ...came, next_at })
      .where('id', '=', id)
      .execute()
  })
}

/** What a request of the same would be refused for is written down, and the schedule goes on. */
async function submit(
  { tasks, checkInput, submitTask }: SchedulesDeps,
  schedule: ScheduleRow
): Promise<{ last_job_id?: string; last_error: string | null }> {
  const key = `schedule:${schedule.id}:${schedule.next_at.toISOString()}`
  try {
    const { jobId } = await submitTask({
      ...(await checkTask({ tasks, checkInput }, schedule.task, schedule.input)),
      priority: schedule.priority,
      attempts: schedule.max_attempts ?? undefined,
      timeoutMs: schedule.timeout_ms,
      waitTimeoutMs: schedule.wait_timeout_ms,
      runAt: null,
      keyId: schedule.key_id,
      idempotencyKey: key,
      requestHash: key
    })
    return { last_job_id: jobId, last_error: null }
  } catch (error) {
    if (!(error instanceof ScError) || error.retryable) throw error
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
