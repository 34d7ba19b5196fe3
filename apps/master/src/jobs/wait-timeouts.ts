import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { type Kysely, sql } from 'kysely'
import type { Logger } from 'pino'
import { isQueuedById } from '../database/by-id.ts'
import type { Database, DatabaseTransaction, Tables, UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Metrics } from '../metrics.ts'
import { notifyJobs, type SettleDeps } from './settle.ts'
import { endSingles } from './single-task.ts'
import { emptyVerdict, failUnit, type Verdict } from './verdict.ts'

/**
 * Fails units that waited for a slot longer than their job allows. A wait begins when the unit is queued, also when it is
 * queued again, or at the time before which it must not run. Any number of masters may look: each leaves the jobs alone
 * that another has locked, and looks at the others again once they are locked. A unit that a worker has just taken, but
 * did not tell yet, is stopped there when it tells; a short one never tells that it started: it runs to its end, and
 * its result is dropped.
 */
export interface WaitTimeoutDeps extends SettleDeps {
  requestDb: Database
  log: Logger
  metrics: Metrics
  /** False: what started meanwhile is not known yet. */
  isCaughtUp(): boolean
  /** Looks which of the jobs are complete. */
  onSettled(jobIds: string[]): Promise<void>
}

const EVERY_MS = 500
const AT_ONCE = 500
const STOP_MS = 2_000

export function startWaitTimeouts(deps: WaitTimeoutDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const complete = await failThoseThatWait(deps).catch(error => {
        deps.log.warn({ err: error }, 'looking for units that wait too long failed; trying again')
        return true
      })
      if (complete) await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      // While Redis is away it may wait for it.
      await Promise.race([running, new Promise(resolve => setTimeout(resolve, STOP_MS).unref())])
    }
  }
}

/** False: there may be more. */
async function failThoseThatWait(deps: WaitTimeoutDeps): Promise<boolean> {
  if (!deps.isCaughtUp()) return true
  const late = await lateUnits(deps.requestDb)
  if (late.length === 0) return true
  const jobIds = [...new Set(late.map(({ job_id }) => job_id))]
  const verdict = await transact(deps.db, trx => failUnits(trx, late, jobIds))
  for (const { unit, error } of verdict.failed) deps.metrics.unitFailed(unit.task, error.code)
  await deps.onEnded(verdict.ended)
  await deps.onSettled(jobIds)
  // Last, as it waits while Redis is away.
  await deps.dispatch.withdraw(verdict.sent)
  return verdict.failed.length < AT_ONCE
}

type Late = Pick<UnitRow, 'id' | 'job_id'>

/** By the index of those that have such a time alone. `byIndexes`: see `connectDatabase`. */
export async function lateUnits(byIndexes: Kysely<Tables>): Promise<Late[]> {
  const { rows } = await sql<Late>`
    select id, job_id from units where status = 'QUEUED' and wait_until < now()
    order by wait_until limit ${AT_ONCE}`.execute(byIndexes)
  return rows
}

async function failUnits(
  trx: DatabaseTransaction,
  late: Late[],
  jobIds: string[]
): Promise<Verdict & { sent: UnitRow[] }> {
  const verdict = emptyVerdict()
  // Jobs before their units, as everybody locks them; none that has ended, or its end could not be told at once.
  const locked = await sql<{ id: string }>`
    select id from jobs where id = any(${jobIds}::text[]) and status in ('PENDING', 'RUNNING')
    order by id for no key update skip locked`.execute(trx)
  const isLocked = new Set(locked.rows.map(({ id }) => id))
  const ids = late.flatMap(({ id, job_id }) => (isLocked.has(job_id) ? id : []))
  const { rows } = await sql<UnitRow & { wait_timeout_ms: number }>`
    select units.*, jobs.wait_timeout_ms from units join jobs on jobs.id = units.job_id
    where units.id = any(${ids}::text[]) and ${isQueuedById} and wait_until < now()
      and jobs.wait_timeout_ms is not null
    for update of units`.execute(trx)
  for (const unit of rows) await failUnit(trx, unit, tooLong(unit).toReport(), verdict)
  verdict.ended = await endSingles(
    trx,
    rows.map(({ id }) => id)
  )
  await notifyJobs(trx, [...verdict.changed])
  return { ...verdict, sent: rows.filter(unit => unit.entry !== null) }
}

function tooLong({ queue, wait_timeout_ms }: UnitRow & { wait_timeout_ms: number }): ScError {
  const waited = `No slot was free for it on queue ${queue} within the ${wait_timeout_ms / 1000} s that it may wait.`
  return new ScError('SC_WAIT_TIMEOUT', `${waited} Allow it more with \`waitTimeoutSeconds\` of the request.`)
}
