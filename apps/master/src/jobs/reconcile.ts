import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { type Database, OPEN_JOB, OPEN_UNIT } from '../database/schema.ts'
import type { Dispatch } from './dispatch.ts'
import { type FinishDeps, isSettled } from './finish.ts'

/**
 * PostgreSQL is the truth: whatever it says is not finished is queued again, in case Redis lost it or a master died
 * between two steps. What is queued already is left alone by its id, so this may run at any time, on any master.
 */
export interface ReconcileDeps extends Pick<FinishDeps, 'db' | 'dispatch' | 'redis'> {
  db: Database
  dispatch: Dispatch
  log: Logger
  isCaughtUp(): boolean
  queuePlan(jobId: string): Promise<void>
  queueMerge(jobId: string): Promise<void>
}

const EVERY_MS = 10_000
const AGAIN_MS = 500
/** A unit of which nothing was heard for this long may have been lost. */
const UNHEARD_SECONDS = 8
const AT_MOST = 2_000

/** False: outboxes are still being read, so it is not known yet which units are lost. */
export async function reconcile(deps: ReconcileDeps): Promise<boolean> {
  const jobs = await deps.db
    .selectFrom('jobs')
    .select(['id', 'planned'])
    .where('status', 'in', OPEN_JOB)
    .orderBy('created_at')
    .execute()
  for (const { id, planned } of jobs) {
    if (!planned) await deps.queuePlan(id)
    else if (await isSettled(deps, id)) await deps.queueMerge(id)
  }
  if (!deps.isCaughtUp()) return false
  const units = await deps.db
    .selectFrom('units')
    .innerJoin('jobs', 'jobs.id', 'units.job_id')
    .selectAll('units')
    .select('jobs.priority')
    .where('units.status', 'in', OPEN_UNIT)
    .where('touched_at', '<', sql<Date>`now() - make_interval(secs => ${UNHEARD_SECONDS})`)
    .orderBy('touched_at')
    .limit(AT_MOST)
    .execute()
  for (const [priority, rows] of Map.groupBy(units, unit => unit.priority)) await deps.dispatch.send(rows, priority)
  return true
}

/** Now, then every 10 s, and as soon as Redis is back. */
export function startReconciler(deps: ReconcileDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let wake = new AbortController()
  const onReady = (): void => wake.abort()
  deps.redis.on('ready', onReady)
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const complete = await reconcile(deps).catch(error => {
        deps.log.warn({ err: error }, 'reconciling failed; trying again')
        return false
      })
      wake = new AbortController()
      await pause(complete ? EVERY_MS : AGAIN_MS, AbortSignal.any([stopping.signal, wake.signal]))
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      deps.redis.off('ready', onReady)
      await running
    }
  }
}
