import { sql } from 'kysely'
import type { Logger } from 'pino'
import { storableText } from '../database/jsonb.ts'
import type { Database } from '../database/schema.ts'
import type { Metrics } from '../metrics.ts'
import type { Access } from './access.ts'

/**
 * DESIGN: what a worker wrote that none of ours writes: dropped unread, counted, and shown by the doctor. One that goes on is
 * quarantined: its login is off and its keys are gone, until an admin forgives or revokes it.
 *
 *   in order --offences--> counted --more than MOST_A_MINUTE--> quarantined --forgive--> in order
 *
 * A worker of an earlier version writes messages that are none by now: so the limit is far above what one can do by mistake.
 */
export interface Offences {
  /** `weight`: how many messages that are merely wrong it stands for. */
  record(workerId: string, reason: string, weight?: number): void
  stop(): Promise<void>
}

export interface OffencesDeps {
  db: Database
  log: Logger
  metrics: Pick<Metrics, 'messageRefused'>
  access: Pick<Access, 'quarantineWorker'>
}

const MOST_A_MINUTE = 3_000
/** Of what costs the master more than a message: some in a minute are too many. */
export const GRAVE = 300
/** Of what no mistake does: once is enough. */
export const FLOOD = 10_000
/** So many characters that were read for nothing weigh as much as a message that is wrong: 48 MB a minute are too many. */
const CHARACTERS_OF_ONE = 16 * 1024
const MINUTE_MS = 60_000
const KEEP_EVERY_MS = 1_000
const LONGEST_REASON = 500

interface Count {
  reason: string
  /** Not written down yet. */
  fresh: number
  sinceMs: number
  weight: number
}

/** Of what it cost to read, beside that of the message. */
export function weightOf(cost = 0): number {
  return Math.floor(cost / CHARACTERS_OF_ONE)
}

export function createOffences({ db, log, metrics, access }: OffencesDeps): Offences {
  const counts = new Map<string, Count>()

  async function keep(): Promise<void> {
    const fresh = [...counts].filter(([, count]) => count.fresh > 0)
    await Promise.all(fresh.map(([workerId, count]) => keepOf(workerId, count)))
  }

  /** The quarantine first: it does not hang on whether the reason can be kept. */
  async function keepOf(workerId: string, count: Count): Promise<void> {
    const { fresh, reason } = count
    count.fresh = 0
    log.warn({ workerId, reason, messages: fresh }, 'a worker wrote what none writes: dropped')
    const isOver = count.weight > MOST_A_MINUTE
    try {
      if (isOver) await access.quarantineWorker(workerId)
      await db
        .updateTable('workers')
        .set({ offences: sql<number>`offences + ${fresh}`, last_offence: reason, last_offence_at: sql<Date>`now()` })
        .where('id', '=', workerId)
        .execute()
      if (isOver) counts.delete(workerId)
    } catch (error) {
      count.fresh += fresh
      log.debug({ err: error, workerId }, 'offences could not be written down; trying again')
    }
  }

  let keeping: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    keeping = keeping.then(keep)
  }, KEEP_EVERY_MS)

  return {
    record: (workerId, reason, weight = 1) => {
      metrics.messageRefused()
      const nowMs = performance.now()
      let count = counts.get(workerId)
      if (!count || nowMs - count.sinceMs > MINUTE_MS) {
        count = { reason: '', fresh: count?.fresh ?? 0, sinceMs: nowMs, weight: 0 }
        counts.set(workerId, count)
      }
      count.reason = storableText(reason.slice(0, LONGEST_REASON))
      count.fresh++
      count.weight += weight
    },
    stop: async () => {
      clearInterval(timer)
      await keeping
    }
  }
}
