import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { OpenQueues } from '../queues/open-queues.ts'
import type { HeadRoom } from './head-room.ts'

/**
 * Which queues have a round without being woken, every LOOK_MS: those with units that wait outside of Redis and may run, as
 * those left behind by another master. Only where a worker serves the queue: what
 * nobody takes is of no use in Redis, and would be there for every name that a worker ever offered.
 */
interface LookDeps {
  db: Database
  queues: Pick<OpenQueues, 'names'>
  room: HeadRoom
  isServed(queue: string): boolean
  isAwaited(queue: string): boolean
  /** No other queue has units that may run, or entries. */
  onKnown(queues: ReadonlySet<string>): void
}

export const LOOK_MS = 500
/** A timer may end so much too early. */
const TIMER_MS = 1
/** The more names there are, the longer a look takes: then it is held the less often. */
const LOOK_SHARE = 1 / 20
/** A worker that has just come asks before its slots are counted. To ask for each name takes longer than to count. */
const MOST_ASKED = 16

export function createQueuesToLookAt(deps: LookDeps): () => Promise<string[]> {
  const { db, queues, room, isAwaited, onKnown } = deps
  let isFirst = true
  let nextMs = 0

  return async () => {
    const startMs = performance.now()
    if (startMs + TIMER_MS < nextMs) return []
    nextMs = startMs + LOOK_MS
    const waiting = await queuesThatWait(db)
    const names = new Set(waiting.map(({ queue }) => queue))
    await room.look(names)
    const isServed = servedOrAsked(waiting.length)
    const served = waiting.filter(({ queue }) => isServed(queue))
    const open = new Set(queues.names())
    onKnown(new Set([...names, ...open]))
    const large = new Set(room.large())
    // Entries of one that is not open may be there from before.
    const looked = served.filter(({ queue, isReady }) => isFirst || isReady || large.has(queue) || !open.has(queue))
    isFirst = false
    nextMs = Math.max(nextMs, startMs + (performance.now() - startMs) / LOOK_SHARE)
    return looked.map(({ queue }) => queue)
  }

  function servedOrAsked(count: number): (queue: string) => boolean {
    let left = Math.min(count, MOST_ASKED)
    return queue => deps.isServed(queue) || (left-- > 0 && isAwaited(queue))
  }
}

/**
 * Queues that have units which wait and may run, and whether one of them may be sent; looks from one name to the next, not at every
 * unit. `limit`: else PostgreSQL would rather read every unit that waits, to know all that are ready.
 */
async function queuesThatWait(db: Database): Promise<Array<{ queue: string; isReady: boolean }>> {
  const { rows } = await sql<{ queue: string; isReady: boolean }>`
    with recursive names as (
      (select queue from units where status = 'QUEUED' and is_due order by queue limit 1)
      union all
      select (select queue from units where status = 'QUEUED' and is_due and queue > names.queue order by queue limit 1)
      from names where names.queue is not null
    )
    select names.queue, coalesce((
      select true from units where units.queue = names.queue and status = 'QUEUED' and is_due
        and entry is null limit 1
    ), false) as "isReady"
    from names where names.queue is not null`.execute(db)
  return rows
}
