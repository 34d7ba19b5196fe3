import { type ScError, toScError } from '@sc/shared/errors.ts'
import type { Timings } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import { isOpenById } from '../database/by-id.ts'
import type { DatabaseTransaction, UnitRow } from '../database/schema.ts'
import { checkOutput, TRANSCRIPTION_TASKS } from '../transcription/check-output.ts'
import { sizeOf } from './size-of.ts'
import { failAttempt, failUnit, mostCrashes, poison, type SettledUnit, type Verdict } from './verdict.ts'
import { waitUntil } from './when-due.ts'

/** Any number of starts, results and returns in one statement each: what most messages are. */

/** Of outputs in one statement, as `sizeOf` counts: PostgreSQL takes 256 MB of JSON at once. */
const MOST_SIZE = 8 * 1024 ** 2
/** Of the outputs of one batch: PostgreSQL takes longer to read them than to look which units are open. */
const LARGE_SIZE = 256 * 1024

interface OfAttempt {
  workerId: string
  unitId: string
  attemptId: string
  slot: string
  /** Since it was read, in ms. */
  ageMs: number
}

export interface Start extends OfAttempt {
  /**
   * The worker holds the unit just now, as far as this master knows. A ticket is good for ever: one that was given the unit
   * once, and gave it back or lost it, must not have the attempt of another counted as a crash.
   */
  isHeld: boolean
}

export interface Result extends OfAttempt {
  output: unknown
  timings: Timings
  /** As of a start. */
  isHeld: boolean
}

export interface Return {
  workerId: string
  unitId: string
  attemptId: string
  entry: string
  hasBegun: boolean
  /** As of a start. */
  isHeld: boolean
}

/**
 * A second start of a unit that runs is a crash of the first, unless its worker does not hold the unit: then it is nothing. A
 * unit that is settled is stopped on its worker. One that has no entry was given back and is not sent again yet: with whom
 * would it be? Were it RUNNING, nothing would ever end it.
 */
export async function acceptStarts(trx: DatabaseTransaction, starts: Start[], verdict: Verdict): Promise<void> {
  if (starts.length === 0) return
  const json = starts.map(start => ({ ...toRow(start), held: start.isHeld }))
  const { rows: units } = await sql<UnitRow>`
    update units set
      status = 'RUNNING',
      crashes = crashes + (status = 'RUNNING' and units.attempt_id is distinct from start.attempt_id)::integer,
      attempt_id = start.attempt_id, worker_id = start.worker_id, slot = start.slot,
      fraction = 0, partial = null, waited_ms = extract(epoch from ${startReadAt} - queued_at) * 1000,
      started_at = ${startReadAt}, touched_at = now()
    from jsonb_to_recordset(${JSON.stringify(json)}::jsonb) as start
      (unit_id text, attempt_id text, worker_id text, slot text, age_ms double precision, held boolean)
    where units.id = start.unit_id and units.entry is not null and (start.held or status = 'QUEUED')
      and ${isOpenById} and not (status = 'QUEUED' and units.attempt_id is not distinct from start.attempt_id)
    returning units.*`.execute(trx)
  const open = new Set(units.map(({ id }) => id))
  await stopSettled(
    trx,
    starts.filter(({ unitId }) => !open.has(unitId)),
    verdict
  )
  for (const unit of units) {
    verdict.changed.add(unit.job_id)
    verdict.startedRank = Math.max(verdict.startedRank, unit.rank)
    if (unit.crashes < mostCrashes(unit)) continue
    verdict.stop.push({ id: unit.id, worker_id: unit.worker_id as string })
    await failUnit(trx, unit, poison(unit), verdict)
  }
}

/** Of starts that were not taken: those whose unit is not open. */
async function stopSettled(trx: DatabaseTransaction, starts: Start[], verdict: Verdict): Promise<void> {
  if (starts.length === 0) return
  const open = await openAmong(trx, starts)
  for (const { unitId, workerId } of starts)
    if (!open.has(unitId)) verdict.stop.push({ id: unitId, worker_id: workerId })
}

/** The ids of those units that are open. */
async function openAmong(trx: DatabaseTransaction, all: OfAttempt[]): Promise<Set<string>> {
  const ids = all.map(({ unitId }) => unitId)
  const { rows } = await sql<{ id: string }>`
    select id from units where id = any(${ids}::text[]) and ${isOpenById}`.execute(trx)
  return new Set(rows.map(({ id }) => id))
}

/**
 * An open unit is DONE, once, whichever attempt brings it; a result of a settled one is dropped, and where outputs are large
 * PostgreSQL does not see it: it would read the output first. One that cannot be of a unit of the master's own is an error of
 * that attempt.
 */
export async function acceptResults(trx: DatabaseTransaction, results: Result[], verdict: Verdict): Promise<void> {
  let sized = results.map(result => ({ result, size: sizeOf(result.output, MOST_SIZE) }))
  if (sized.reduce((sum, { size }) => sum + size, 0) > LARGE_SIZE) {
    const open = await openAmong(trx, results)
    sized = sized.filter(({ result }) => open.has(result.unitId))
  }
  for (const part of bySize(sized)) await acceptPart(trx, part, verdict)
}

/** Parts whose outputs take about MOST_SIZE; a larger output is a part of its own. */
function bySize(results: Array<{ result: Result; size: number }>): Result[][] {
  const parts: Result[][] = []
  let sum = Number.POSITIVE_INFINITY
  for (const { result, size } of results) {
    if (sum + size > MOST_SIZE) {
      parts.push([])
      sum = 0
    }
    parts.at(-1)?.push(result)
    sum += size
  }
  return parts
}

async function acceptPart(trx: DatabaseTransaction, results: Result[], verdict: Verdict): Promise<void> {
  const json = results.map(result => ({ ...toRow(result), ...pick(result) }))
  const { rows } = await sql<SettledUnit & { timings: Timings; rank: number; params: UnitRow['params'] | null }>`
    update units set
      status = 'DONE', output = outcome.output, error = null, fraction = 1, partial = null,
      waited_ms = ${waitedMs},
      timings = outcome.timings || jsonb_build_object('waited', ${waitedMs}),
      attempt_id = outcome.attempt_id, worker_id = outcome.worker_id, slot = outcome.slot,
      started_at = case when ${startIsKnown} then units.started_at else ${startedAt} end,
      finished_at = now(), touched_at = now()
    from json_to_recordset(${JSON.stringify(json)}::json) as outcome
      (unit_id text, attempt_id text, worker_id text, slot text, age_ms double precision, output json, timings jsonb,
        took double precision)
    where units.id = outcome.unit_id and ${isOpenById}
    returning units.id, units.job_id, units.task, units.queue, units.rank, units.timings,
      case when units.task = any(${TRANSCRIPTION_TASKS}::text[]) then units.params end as params`.execute(trx)
  const resultOf = new Map(results.map(result => [result.unitId, result]))
  for (const { timings, rank, params, ...unit } of rows) {
    const result = resultOf.get(unit.id)
    verdict.settled.add(unit.id)
    verdict.changed.add(unit.job_id)
    verdict.startedRank = Math.max(verdict.startedRank, rank)
    const refusal = params && refusalOf(unit.task, params, result?.output)
    if (refusal) await takeBack(trx, unit.id, refusal, verdict)
    else verdict.done.push({ unit, timings, heldBy: result?.isHeld ? result.workerId : null })
  }
}

function refusalOf(task: string, params: UnitRow['params'], output: unknown): ScError | null {
  try {
    checkOutput(task, params, output)
    return null
  } catch (thrown) {
    return toScError(thrown)
  }
}

async function takeBack(trx: DatabaseTransaction, unitId: string, refusal: ScError, verdict: Verdict): Promise<void> {
  const unit = await trx
    .updateTable('units')
    .set({ output: null, timings: null, finished_at: null })
    .where('id', '=', unitId)
    .returningAll()
    .executeTakeFirstOrThrow()
  await failAttempt(trx, unit, refusal.toReport(), refusal.retryable, verdict)
}

/**
 * Units whose entry is gone are queued again, at no cost. One that another attempt had begun: as a crash of that one, if
 * this one came after it (it has not begun); else the other goes on. One that must not run twice and had begun ends here. Of a unit that the worker does not hold, only its own
 * attempt can be given back, and keeps its entry, which waits already or does when its lock is over: each return would bring
 * another else.
 */
export async function acceptReturns(trx: DatabaseTransaction, returns: Return[], verdict: Verdict): Promise<void> {
  if (returns.length === 0) return
  const json = returns.map(({ workerId, unitId, attemptId, entry, hasBegun, isHeld }) => {
    return { unit_id: unitId, attempt_id: attemptId, worker_id: workerId, entry, begun: hasBegun, held: isHeld }
  })
  const { rows } = await sql<UnitRow>`
    update units set
      status = 'QUEUED', fraction = 0, partial = null,
      dispatch = dispatch + given.held::integer, entry = case when given.held then null else units.entry end,
      crashes = crashes + ((status = 'RUNNING' and units.attempt_id is distinct from given.attempt_id)
        or (given.begun and not units.retry_crashes))::integer,
      given_to = case when given.begun then units.given_to end,
      attempt_id = given.attempt_id, queued_at = now(), wait_until = ${waitUntil(sql`null`)}, touched_at = now()
    from jsonb_to_recordset(${JSON.stringify(json)}::jsonb) as given
      (unit_id text, attempt_id text, worker_id text, entry text, begun boolean, held boolean)
    where units.id = given.unit_id and units.entry = given.entry and ${isOpenById}
      and case when given.held then status = 'QUEUED' or not given.begun or units.attempt_id is not distinct from given.attempt_id
        else status = 'RUNNING' and units.attempt_id = given.attempt_id and units.worker_id = given.worker_id end
    returning units.*`.execute(trx)
  for (const unit of rows) {
    if (unit.entry === null) verdict.settled.add(unit.id)
    verdict.noticed.add(unit.job_id)
    verdict.waiting.add(unit.queue)
    if (unit.crashes >= mostCrashes(unit)) await failUnit(trx, unit, poison(unit), verdict)
  }
}

/** When a message was read, which may have waited for this transaction. By the database's own clock, as `queued_at`. */
const readAt = (table: string) =>
  sql<Date>`least(now(), clock_timestamp() - make_interval(secs => ${sql.ref(`${table}.age_ms`)} / 1000))`
const startReadAt = sql<Date>`greatest(units.queued_at, ${readAt('start')})`

/** Of a result: its attempt's start was written, and not that of another, or none. */
const startIsKnown = sql`units.started_at is not null and units.attempt_id is not distinct from outcome.attempt_id`
const startedAt = sql<Date>`greatest(units.queued_at, ${readAt('outcome')} - make_interval(secs => outcome.took / 1000))`
const waitedMs = sql<number>`case when ${startIsKnown} then coalesce(waited_ms, 0)
  else round((extract(epoch from ${startedAt} - units.queued_at) * 1000)::numeric, 3) end`

function toRow({ unitId, attemptId, workerId, slot, ageMs }: OfAttempt) {
  return { unit_id: unitId, attempt_id: attemptId, worker_id: workerId, slot, age_ms: ageMs }
}

function pick({ output, timings }: Result) {
  // Undefined would be no JSON: a task that answers nothing answers null.
  return { output: output ?? null, timings, took: timings.fetched + timings.ran }
}
