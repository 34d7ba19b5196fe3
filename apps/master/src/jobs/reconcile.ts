import { pause } from '@sc/shared/pause.ts'
import { type SqlBool, sql } from 'kysely'
import type { Logger } from 'pino'
import { type Database, OPEN_UNIT } from '../database/schema.ts'
import { eachApart } from '../each-apart.ts'
import { jobEntryId } from '../queues/background-queue.ts'
import { MERGE_QUEUE, OWN_MERGE_QUEUE } from '../queues/job-queues.ts'
import { untoldJobs } from './after-end.ts'
import type { Dispatch } from './dispatch.ts'
import { type FinishDeps, type SettledJob, settledJobs } from './finish.ts'
import { lostAmong, type RunOnce } from './run-once.ts'
import { BYTES, readInPieces } from './sent-entries.ts'

/**
 * PostgreSQL is the truth: whatever it says is not finished is queued again, in case Redis lost it or a master died
 * between two steps (`planner.ts` looks after what is not planned). What is queued already is left alone by its id, so this may run at any time, on any master.
 */
export interface ReconcileDeps extends Pick<FinishDeps, 'db' | 'dispatch' | 'redis' | 'onEnded'> {
  db: Database
  dispatch: Dispatch
  log: Logger
  isCaughtUp(): boolean
  queueMerge(job: SettledJob): Promise<void>
  /** Whether a known worker serves a queue, also one that is away. */
  isOffered(queue: string): boolean
  runOnce: Pick<RunOnce, 'end'>
  /** Which entries of a queue somebody has. */
  takenAmong(queue: string, entries: string[]): Promise<ReadonlySet<string>>
  /** Tasks that their worker has not offered for long; see `cluster/task-claims.ts`. */
  forgetLeftTasks(): Promise<void>
  /** Makes entries that no list of their queue names be missed; see `queues/mend-queue.ts`. */
  forgetMissing(queue: string, ids: string[]): Promise<unknown>
}

const EVERY_MS = 10_000
const AGAIN_MS = 500
/** A unit that was sent and of which nothing was heard for this long may have been lost. */
const UNHEARD_SECONDS = 8
const AT_MOST = 2_000

/** False: outboxes are still being read, so it is not known yet which units are lost. */
export async function reconcile(deps: ReconcileDeps): Promise<boolean> {
  const { db, forgetMissing } = deps
  const missed = (queue: string, jobIds: string[]) =>
    forgetMissing(
      queue,
      jobIds.map(id => jobEntryId(queue, id))
    )
  let isCaughtUp = false

  async function queueMerges(): Promise<void> {
    const settled = await settledJobs(db)
    const ids = settled.map(({ id }) => id)
    for (const queue of [MERGE_QUEUE, OWN_MERGE_QUEUE]) await missed(queue, ids)
    for (const job of settled) await deps.queueMerge(job)
  }

  async function tellEnds(): Promise<void> {
    await deps.onEnded(await untoldJobs(db))
  }

  async function sendUnheard(): Promise<void> {
    isCaughtUp = deps.isCaughtUp()
    if (!isCaughtUp) return
    const unheard = await unheardUnits(db)
    const given = unheard.filter(unit => unit.given_to !== null)
    const lost = await lostAmong(given, deps.takenAmong)
    await deps.runOnce.end(lost.map(({ id, entry }) => ({ unitId: id, entry: entry as string })))
    await touch(db, given)
    // What is wrong with one queue does not hold up the others.
    await eachApart(
      Map.groupBy(
        unheard.filter(unit => unit.given_to === null),
        unit => unit.queue
      ),
      async ([queue, units]) => {
        const isKept = (unit: Unheard): boolean => unit.status === 'RUNNING' || deps.isOffered(queue)
        await deps.dispatch.unsend(units.filter(unit => !isKept(unit)))
        const kept = units.filter(isKept)
        await forgetMissing(
          queue,
          kept.flatMap(({ entry }) => entry ?? [])
        )
        for await (const piece of readInPieces(db, kept)) await deps.dispatch.sendAgain(piece)
        // Units that wait long give way to others that may be lost.
        await touch(db, units)
      }
    )
  }

  await eachApart([queueMerges, tellEnds, sendUnheard], step => step())
  return isCaughtUp
}

type Unheard = Awaited<ReturnType<typeof unheardUnits>>[number]

async function unheardUnits(db: Database) {
  return await db
    .selectFrom('units')
    .select(['id', 'queue', 'entry', 'rank', 'index', 'status', 'given_to', BYTES])
    .where('status', 'in', OPEN_UNIT)
    .where(sql<SqlBool>`is_due`)
    .where('entry', 'is not', null)
    .where('sent_at', '<', sql<Date>`now() - make_interval(secs => ${UNHEARD_SECONDS})`)
    .where('touched_at', '<', sql<Date>`now() - make_interval(secs => ${UNHEARD_SECONDS})`)
    .orderBy('touched_at')
    .limit(AT_MOST)
    .execute()
}

async function touch(db: Database, units: Unheard[]): Promise<void> {
  if (units.length === 0) return
  const ids = units.map(({ id }) => id)
  await db.updateTable('units').set({ touched_at: sql<Date>`now()` }).where('id', 'in', ids).execute()
}

/** At its start, then every 10 s, as soon as Redis is back, and when asked for. */
export function startReconciler(deps: ReconcileDeps): { now(): void; stop(): Promise<void> } {
  const stopping = new AbortController()
  let wake = new AbortController()
  const now = (): void => wake.abort()
  deps.redis.on('ready', now)
  const running = (async () => {
    while (!stopping.signal.aborted) {
      wake = new AbortController()
      const complete = await reconcile(deps).catch(error => {
        deps.log.warn({ err: error }, 'reconciling failed; trying again')
        return false
      })
      await pause(complete ? EVERY_MS : AGAIN_MS, AbortSignal.any([stopping.signal, wake.signal]))
    }
  })()
  return {
    now,
    stop: async () => {
      stopping.abort()
      deps.redis.off('ready', now)
      await running
    }
  }
}
