/**
 * Defence in depth: whatever a bug, an old worker or somebody with an ordinary login did to the queues in Redis, masters
 * notice it within a look, put it right from PostgreSQL, and say so. Each queue by itself: what is wrong with one
 * never holds up another.
 *
 *   look at a queue --not what masters write--> mendQueue --> forgetMissing, sendAgain (units) or the reconciler (jobs)
 */
import type { Finding } from '@sc/shared/doctor/finding.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import { type SqlBool, sql } from 'kysely'
import type { Logger } from 'pino'
import { isDatabaseAway } from '../database/connect.ts'
import { type Database, OPEN_JOB, OPEN_UNIT } from '../database/schema.ts'
import type { Dispatch } from '../jobs/dispatch.ts'
import { BYTES, readInPieces } from '../jobs/sent-entries.ts'
import { judgeJobs, judgeUnits } from './judge-entries.ts'
import { forgetMissing, mendQueue } from './mend-queue.ts'
import type { OpenQueues } from './open-queues.ts'
import { createQueueFindings } from './queue-findings.ts'

export interface QueueKeeper {
  findings(): Finding[]
  stop(): Promise<void>
}

export interface QueueKeeperDeps {
  db: Database
  redis: Redis
  dispatch: Pick<Dispatch, 'sendAgain'>
  /** Those that have units, or had some lately. */
  queues: Pick<OpenQueues, 'names'>
  log: Logger
  /** The masters' own queues. */
  jobQueues: string[]
  /** Puts back what the masters' own queues lost. */
  reconcileNow(): void
  /** From the end of a look to the next. Default: LOOK_EVERY_MS. */
  lookEveryMs?: number
}

const LOOK_EVERY_MS = 2_000
/** Where there are many, a pause is so many times as long as the look before it. */
const PAUSES = 4
/** Refusals of Redis as a whole, see `cluster/redis-watch.ts`. */
const OF_REDIS = /^(OOM|BUSY|LOADING|READONLY|MISCONF|NOAUTH|NOPERM|Connection is closed)/
/** What may be in a queue beside what PostgreSQL counts: added or ended at this moment. */
const SLACK = 2_000
const MOST_COUNTED = 1_000_000
/** Units in one statement. */
const AT_ONCE = 2_000

export function startQueueKeeper(deps: QueueKeeperDeps): QueueKeeper {
  const { db, redis, dispatch, queues, log, jobQueues, reconcileNow, lookEveryMs = LOOK_EVERY_MS } = deps
  const stopping = new AbortController()
  const noted = createQueueFindings(log)

  async function keep(name: string, mend: () => Promise<void>): Promise<void> {
    try {
      await mend()
      noted.works(name)
    } catch (error) {
      const { message } = error as Error
      // That is nothing of this queue: Redis or PostgreSQL is away, or refuses everything, which others say.
      if (redis.status !== 'ready' || isDatabaseAway(error) || OF_REDIS.test(message)) return
      noted.broken(name, error as Error)
    }
  }

  async function mendUnits(name: string): Promise<void> {
    const rules = { mayDelay: false, most: () => mostUnits(db, name), judge: judgeUnits(db, name) }
    if (!wasWrong(name, await mendQueue(redis, name, rules))) return
    // All of them: what was sent while it was wrong may have been refused.
    const units = await sentUnits(db, name)
    await forgetMissing(redis, name, [...new Set(units.flatMap(({ entry }) => entry ?? []))])
    const waiting = units.filter(({ status }) => status === 'QUEUED')
    for await (const piece of readInPieces(db, waiting)) await dispatch.sendAgain(piece)
  }

  async function mendJobs(name: string): Promise<void> {
    const rules = { mayDelay: true, most: () => mostJobs(db), judge: judgeJobs(db, name) }
    if (wasWrong(name, await mendQueue(redis, name, rules))) reconcileNow()
  }

  function wasWrong(name: string, found: string[]): boolean {
    if (found.length > 0) noted.mended(name, found)
    return found.length > 0
  }

  async function look(): Promise<void> {
    for (const name of queues.names()) await keep(name, () => mendUnits(name))
    for (const name of jobQueues) await keep(name, () => mendJobs(name))
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      const startMs = performance.now()
      if (redis.status === 'ready') await look().catch(error => log.debug({ err: error }, 'looking at queues failed'))
      await pause(Math.max(lookEveryMs, PAUSES * (performance.now() - startMs)), stopping.signal)
    }
  })()

  return {
    findings: noted.findings,
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

async function sentUnits(db: Database, queue: string) {
  return await db
    .selectFrom('units')
    .select(['id', 'queue', 'entry', 'rank', 'index', 'status', BYTES])
    .where('queue', '=', queue)
    .where('status', 'in', OPEN_UNIT)
    .where(sql<SqlBool>`is_due`)
    .where('entry', 'is not', null)
    .orderBy('sent_at')
    .limit(AT_ONCE)
    .execute()
}

async function mostUnits(db: Database, queue: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from (
      select from units where queue = ${queue} and status in ('QUEUED', 'RUNNING') and is_due and entry is not null limit ${MOST_COUNTED}
    ) as sent`.execute(db)
  return (rows[0]?.count ?? 0) + SLACK
}

async function mostJobs(db: Database): Promise<number> {
  const open = await db
    .selectFrom('jobs')
    .select(db.fn.countAll<string>().as('count'))
    .where('status', 'in', OPEN_JOB)
    .executeTakeFirst()
  return Number(open?.count ?? 0) + SLACK
}
