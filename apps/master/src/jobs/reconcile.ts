import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { type Database, OPEN_UNIT, type UnitRow } from '../database/schema.ts'
import { untoldJobs } from './after-end.ts'
import type { Dispatch } from './dispatch.ts'
import { type FinishDeps, settledJobs } from './finish.ts'

/**
 * PostgreSQL is the truth: whatever it says is not finished is queued again, in case Redis lost it or a master died
 * between two steps (`planner.ts` looks after what is not planned). What is queued already is left alone by its id, so this may run at any time, on any master.
 */
export interface ReconcileDeps extends Pick<FinishDeps, 'db' | 'dispatch' | 'redis' | 'onEnded'> {
  db: Database
  dispatch: Dispatch
  log: Logger
  isCaughtUp(): boolean
  queueMerge(jobId: string): Promise<void>
}

const EVERY_MS = 10_000
const AGAIN_MS = 500
/** A unit that was sent and of which nothing was heard for this long may have been lost. */
const UNHEARD_SECONDS = 8
const AT_MOST = 2_000

/** False: outboxes are still being read, so it is not known yet which units are lost. */
export async function reconcile(deps: ReconcileDeps): Promise<boolean> {
  for (const id of await settledJobs(deps.db)) await deps.queueMerge(id)
  await deps.onEnded(await untoldJobs(deps.db))
  if (!deps.isCaughtUp()) return false
  const units = await deps.db
    .selectFrom('units')
    .selectAll()
    .where('status', 'in', OPEN_UNIT)
    .where('entry', 'is not', null)
    .where('sent_at', '<', sql<Date>`now() - make_interval(secs => ${UNHEARD_SECONDS})`)
    .where('touched_at', '<', sql<Date>`now() - make_interval(secs => ${UNHEARD_SECONDS})`)
    .orderBy('touched_at')
    .limit(AT_MOST)
    .execute()
  await deps.dispatch.sendAgain(units)
  // Units that wait long give way to others that may be lost.
  await touch(deps.db, units)
  return true
}

async function touch(db: Database, units: UnitRow[]): Promise<void> {
  if (units.length === 0) return
  const ids = units.map(({ id }) => id)
  await db.updateTable('units').set({ touched_at: sql<Date>`now()` }).where('id', 'in', ids).execute()
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
