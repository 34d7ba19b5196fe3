/**
 * DESIGN: units of tasks that must not run twice (`retryCrashes: false`). Whatever becomes of a worker that was given such a
 * unit, of Redis and of this master: the unit may have begun. So it is written down before it is given:
 *
 *   given_to: null --mark--> a worker --back unbegun, or its attempt ended and it is queued again--> null
 *                              \--its process died, it was given back begun, its entry is lost, or would be given again--> FAILED
 *
 * - It is an entry by itself: of several in one process nobody knows for sure which have begun.
 * - `mark` changes nothing for a unit that was given before: of two masters, and of what Redis has twice, one gives it.
 * - Who notices that an entry is lost ends its unit at once (`end`); what nobody notices, the reconciler or the next `mark` does.
 * An attempt that ended in an error of the task itself is over: it is tried again as any.
 */
import { reportOf } from '@sc/shared/errors.ts'
import { type Kysely, sql } from 'kysely'
import { isOpenById, isQueuedById } from '../database/by-id.ts'
import type { Tables, UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Metrics } from '../metrics.ts'
import { notifyJobs, type SettleDeps, stopUnits } from './settle.ts'
import { endSingles } from './single-task.ts'
import { emptyVerdict, failAttempt } from './verdict.ts'

/** A unit in the entry that it was given in. */
export interface GivenUnit {
  unitId: string
  entry: string
}

export interface RunOnce {
  /** Before a worker is given the unit; false: one was before, or it is over. */
  mark(unit: GivenUnit, workerId: string): Promise<boolean>
  /** It was not given after all. */
  unmark(unit: GivenUnit): Promise<void>
  /** Fails those that a worker was given, as lost with it. */
  end(units: GivenUnit[]): Promise<void>
  /** The same for those in these entries, of which most may run again. */
  endAmong(entries: string[]): Promise<void>
}

export interface RunOnceDeps extends Pick<SettleDeps, 'db' | 'redis' | 'onEnded'> {
  metrics: Metrics
  /** Looks which of the jobs are complete. */
  onSettled(jobIds: string[]): Promise<void>
}

export function createRunOnce(deps: RunOnceDeps): RunOnce {
  const { db } = deps
  return {
    mark: async ({ unitId, entry }, workerId) => {
      const { numAffectedRows } = await sql`
        update units set given_to = ${workerId}, touched_at = now()
        where id = ${unitId} and entry = ${entry} and given_to is null and ${isQueuedById}`.execute(db)
      return numAffectedRows === 1n
    },
    unmark: async ({ unitId, entry }) => {
      await sql`
        update units set given_to = null where id = ${unitId} and entry = ${entry} and ${isQueuedById}`.execute(db)
    },
    end: async units => {
      for (const unit of units) await endUnit(deps, unit)
    },
    endAmong: async entries => {
      // Such an entry is called after its unit, and how often that was sent.
      const ids = entries.map(entry => entry.slice(0, entry.lastIndexOf('-')))
      const { rows } = await sql<Pick<UnitRow, 'id'> & { entry: string }>`
        select id, entry from units where id = any(${ids}::text[]) and entry = any(${entries}::text[])
          and given_to is not null and ${isOpenById}`.execute(db)
      for (const { id, entry } of rows) await endUnit(deps, { unitId: id, entry })
    }
  }
}

async function endUnit({ db, redis, metrics, onEnded, onSettled }: RunOnceDeps, given: GivenUnit): Promise<void> {
  const ended = await transact(db, async trx => {
    const unit = await lockUnit(trx, given)
    if (!unit) return undefined
    const verdict = emptyVerdict()
    await failAttempt(trx, unit, lost(unit), true, verdict)
    const jobIds = await endSingles(trx, [unit.id])
    await notifyJobs(trx, [unit.job_id])
    return { unit, verdict, jobIds }
  })
  if (!ended) return
  const { unit, verdict, jobIds } = ended
  for (const { error } of verdict.failed) metrics.unitFailed(unit.task, error.code)
  await onEnded(jobIds)
  await onSettled([unit.job_id])
  // The worker may be there, and run it for nothing.
  await stopUnits(redis, [{ id: unit.id, worker_id: unit.given_to }])
}

/** The job before its unit, as everybody locks them. */
async function lockUnit(trx: Kysely<Tables>, { unitId, entry }: GivenUnit): Promise<UnitRow | undefined> {
  await sql`
    select from jobs where id = (select job_id from units where id = ${unitId}) for no key update`.execute(trx)
  const { rows } = await sql<UnitRow>`
    select * from units
    where id = ${unitId} and entry = ${entry} and not retry_crashes and given_to is not null and ${isOpenById}
    for update`.execute(trx)
  return rows[0]
}

function lost({ id, given_to }: UnitRow) {
  return reportOf('SC_WORKER_LOST', `The worker ${given_to} was given the unit ${id}, and nothing more came of it.`)
}

/** Those of the units of which nobody has the entry any more. */
export async function lostAmong<Unit extends Pick<UnitRow, 'queue' | 'entry'>>(
  units: Unit[],
  isTaken: (queue: string, entries: string[]) => Promise<ReadonlySet<string>>
): Promise<Unit[]> {
  const lost: Unit[] = []
  for (const [queue, all] of Map.groupBy(units, unit => unit.queue)) {
    const taken = await isTaken(
      queue,
      all.flatMap(({ entry }) => entry ?? [])
    )
    lost.push(...all.filter(({ entry }) => entry !== null && !taken.has(entry)))
  }
  return lost
}
