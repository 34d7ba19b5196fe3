import { isDeepStrictEqual } from 'node:util'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { z } from 'zod'
import { type Database, OPEN_UNIT, type UnitRow } from '../database/schema.ts'
import { jobEntryId } from './background-queue.ts'
import type { QueueRules, WaitingEntry } from './mend-queue.ts'
import { queueEntrySchema, unitsOf } from './queue-entry.ts'

type Judge = QueueRules['judge']

const COMPARED = [
  'id',
  'job_id',
  'task',
  'index',
  'input_ref',
  'input_sha256',
  'params',
  'deadline_ms',
  'retry_crashes',
  'entry',
  'status',
  'queue'
] as const
type ComparedRow = Pick<UnitRow, (typeof COMPARED)[number]>

/** Entries of a queue of units against the units' rows. */
export function judgeUnits(db: Database, queue: string): Judge {
  return async entries => {
    const read = entries.map(entry => ({ entry, units: parseUnits(entry) }))
    const ids = [...new Set(read.flatMap(({ units }) => units.map(({ unitId }) => unitId)))]
    // After the entries were read: a unit is marked in PostgreSQL before its entry is added.
    const rows = ids.length === 0 ? [] : await db.selectFrom('units').select(COMPARED).where('id', 'in', ids).execute()
    const rowOf = new Map(rows.map(row => [row.id, row]))
    const foreign: string[] = []
    const past: string[] = []
    for (const { entry, units } of read) {
      const own = units.map(({ unitId }) => rowOf.get(unitId))
      const isOurs = units.length > 0 && units.every((unit, at) => isSame(unit, own[at], queue))
      if (!isOurs) foreign.push(entry.id)
      else if (!own.some(row => row?.entry === entry.id && OPEN_UNIT.includes(row.status))) past.push(entry.id)
    }
    return { foreign, past }
  }
}

function isSame(unit: UnitPayload, row: ComparedRow | undefined, queue: string): boolean {
  return (
    row !== undefined &&
    row.queue === queue &&
    row.job_id === unit.jobId &&
    row.task === unit.task &&
    row.index === unit.index &&
    isSameInput(unit, row) &&
    row.deadline_ms === unit.deadline &&
    row.retry_crashes !== (unit.runsOnce ?? false) &&
    isDeepStrictEqual(row.params, unit.params)
  )
}

function isSameInput({ inputRef, inputSha256 }: UnitPayload, row: ComparedRow): boolean {
  return row.input_sha256 === (inputSha256 ?? null) && (row.input_sha256 === null ? row.input_ref : null) === inputRef
}

function parseUnits({ data }: WaitingEntry): UnitPayload[] {
  const entry = queueEntrySchema.safeParse(parseJson(data))
  return entry.success ? unitsOf(entry.data) : []
}

const jobEntrySchema = z.object({ jobId: z.string() })
/** Pauses between tries are of seconds, and clocks of two masters may differ. */
const LATER_MS = 5 * 60_000

/** Entries of a queue of the masters' own: each names a job, and waits for its time at most. */
export function judgeJobs(db: Database, queue: string): Judge {
  return async entries => {
    const named = entries.map(({ id, data, dueMs }) => {
      const jobId = jobEntrySchema.safeParse(parseJson(data)).data?.jobId
      return { id, dueMs, jobId: jobId !== undefined && id === jobEntryId(queue, jobId) ? jobId : undefined }
    })
    const ids = named.flatMap(({ jobId }) => jobId ?? [])
    const rows =
      ids.length === 0 ? [] : await db.selectFrom('jobs').select(['id', 'run_at']).where('id', 'in', ids).execute()
    const jobs = new Map(rows.map(row => [row.id, row]))
    const isForeign = ({ jobId, dueMs }: (typeof named)[number]): boolean => {
      const job = jobId === undefined ? undefined : jobs.get(jobId)
      return !job || (dueMs ?? 0) > Math.max(Date.now(), job.run_at?.getTime() ?? 0) + LATER_MS
    }
    return { foreign: named.filter(isForeign).map(({ id }) => id), past: [] }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
