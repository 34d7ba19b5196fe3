import { LONGEST_TIMING_MS, type Timings } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'

/** How long one unit of a task takes, in seconds: in its queue, and from there to its result. */
export interface TaskTimes {
  waited: number
  ran: number
}

const LATELY = 50

/** Of each task the mean of its last 50 units that were done; a task without any is not in the answer. */
export async function readTaskTimes(db: Database, tasks: string[]): Promise<Map<string, TaskTimes>> {
  if (tasks.length === 0) return new Map()
  const { rows } = await sql<TaskTimes & { task: string }>`
    select asked.task, avg(${seconds('waited')}) as waited,
      avg(${seconds('fetched')} + ${seconds('ran')} + ${seconds('reported')}) as ran
    from unnest(${tasks}::text[]) as asked (task)
    cross join lateral (
      select timings from units where task = asked.task and status = 'DONE' and timings is not null
      order by finished_at desc limit ${LATELY}
    ) as lately
    group by asked.task`.execute(db)
  return new Map(rows.map(({ task, ...times }) => [task, times]))
}

/** Rows from before timings had bounds have numbers that cannot be added, or divided. */
function seconds(phase: keyof Timings) {
  return sql`(round(least((timings->>${phase})::numeric, ${LONGEST_TIMING_MS}), 3)::float8 / 1000)`
}

export interface TaskStanding {
  isRunning: boolean
  /** In its queue so far. */
  queuedForSeconds: number
  /** Until it may run. */
  pauseSeconds: number
  runningForSeconds: number
  /** As the task says itself, 0 to 1. */
  fraction: number
}

/** Less of a run would be a guess. */
const LEAST_FRACTION = 0.05

/** Time left of a job of one unit: by what it says itself, else by how long its task took lately; null: nobody knows. */
export function taskEtaSeconds(standing: TaskStanding, times: TaskTimes | undefined): number | null {
  const { isRunning, queuedForSeconds, pauseSeconds, runningForSeconds, fraction } = standing
  if (isRunning) {
    if (fraction >= LEAST_FRACTION) return Math.ceil((runningForSeconds * (1 - fraction)) / fraction)
    return times ? Math.ceil(Math.max(0, times.ran - runningForSeconds)) : null
  }
  if (!times) return null
  const toWait = pauseSeconds > 0 ? pauseSeconds : Math.max(0, times.waited - queuedForSeconds)
  return Math.ceil(toWait + times.ran)
}
