import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { isOpenById, isOpenOfJob, isQueuedById } from '../database/by-id.ts'
import type { Database, UnitRow } from '../database/schema.ts'
import { RANKS_PER_LAP } from '../queues/queue-order.ts'

/** Inputs of a queue's units that are in Redis, together. */
const MOST_BYTES = 32 * 1024 ** 2
/** Inputs of an entry of several units: they travel as one value of Redis, which takes 4 MB. */
const MOST_TOGETHER_BYTES = 512 * 1024
/** A job's units in the head are at least so many entries for each slot. */
const SHARES_OF_A_SLOT = 2

const PLACE = ['queue', 'entry', 'priority', 'rank'] as const
export const SENT = [
  'id',
  'job_id',
  'task',
  'index',
  'input_ref',
  'params',
  'seconds',
  'deadline_ms',
  ...PLACE
] as const
/** What is needed of a unit to put it into Redis. */
export type SentUnit = Pick<UnitRow, (typeof SENT)[number]>

export interface Head {
  /** Units. */
  most: number
  /** Of a task's units, how many may be one entry; see `pace.ts`. */
  together: Record<string, number>
  /** Slots that serve the queue: what there is is spread over them. */
  slots: number
}

/**
 * Takes the units that belong at the head of a queue and are not in it: of all its units that may run now, the first
 * `most` by priority and rank. Names the entry of each; the caller puts them into Redis. Should it not come to that, the
 * reconciler does.
 *
 * The rest waits here: Redis holds no more than what goes next, a cancelled job of 100,000 units leaves nothing in it,
 * and a unit that comes later and goes first is sent at once.
 */
export async function markHead(db: Database, queue: string, head: Head): Promise<SentUnit[]> {
  const named = nameEntries(await unsentOf(db, queue, head.most), head)
  if (named.size === 0) return []
  // Not a join: where few rows had no entry when PostgreSQL last counted, it would rather read the whole table.
  const { rows } = await sql<SentUnit>`
    update units set sent_at = now(), entry = ${JSON.stringify(Object.fromEntries(named))}::jsonb ->> id
    where id = any(${[...named.keys()]}::text[]) and ${isQueuedById} and entry is null
    returning ${sql.join(SENT.map(name => sql.ref(`units.${name}`)))}`.execute(db)
  return rows
}

interface Unsent extends Pick<UnitRow, 'id' | 'job_id' | 'task' | 'deadline_ms' | 'dispatch' | 'rank'> {
  has_files: boolean
  bytes: number
  /** Of its priority. */
  first_rank: number
  /** Units of its job in the head. */
  of_job: number
  /** What of the head is in Redis. */
  sent_bytes: number
}

async function unsentOf(db: Database, queue: string, most: number): Promise<Unsent[]> {
  const { rows } = await sql<Unsent>`
    with head as (
      select id, job_id, task, deadline_ms, dispatch, priority, rank, queued_at, entry, input_ref is not null as has_files,
        case when entry is null then octet_length(params::text) else pg_column_size(params) end as bytes
      from units
      where queue = ${queue} and status = 'QUEUED' and (not_before is null or not_before <= now())
      order by priority desc, rank, queued_at limit ${most}
    ), known as (
      select *, min(rank) over (partition by priority) as first_rank,
        (count(*) over (partition by job_id))::integer as of_job,
        (coalesce(sum(bytes) filter (where entry is not null) over (), 0))::float8 as sent_bytes
      from head
    )
    select id, job_id, task, deadline_ms, dispatch, rank, has_files, bytes, first_rank, of_job, sent_bytes
    from known where entry is null order by priority desc, rank, queued_at`.execute(db)
  return rows
}

/**
 * Held back are units of a later lap than the first of their priority, since within Redis ranks count modulo
 * RANKS_PER_LAP; and what would be more than MOST_BYTES, but the first.
 *
 * The entry of each, by its id. An entry of several units has only such as are on their first way: of one job and task, without files. It has the name
 * of its first.
 */
function nameEntries(units: Unsent[], { together, slots }: Head): Map<string, string> {
  const named = new Map<string, string>()
  const open = new Map<string, { entry: string; left: number; bytes: number }>()
  const lapOf = (rank: number): number => Math.floor(rank / RANKS_PER_LAP)
  let bytes = units[0]?.sent_bytes ?? 0
  for (const unit of units) {
    const isFirst = bytes === 0
    bytes += unit.bytes
    if (lapOf(unit.rank) !== lapOf(unit.first_rank) || (bytes > MOST_BYTES && !isFirst)) continue
    const isFresh = unit.dispatch === 0 && !unit.has_files
    const share = Math.floor(unit.of_job / (SHARES_OF_A_SLOT * Math.max(1, slots)))
    const size = isFresh ? Math.max(1, Math.min(together[unit.task] ?? 1, share)) : 1
    const kind = JSON.stringify([unit.job_id, unit.task, unit.deadline_ms])
    let part = size > 1 ? open.get(kind) : undefined
    if (!part || part.left === 0 || part.bytes + unit.bytes > MOST_TOGETHER_BYTES) {
      // Another master may give the same unit other companions at this moment: then these are two entries.
      const own = size > 1 ? `-${randomBytes(6).toString('base64url')}` : ''
      part = { entry: `${unit.id}-${unit.dispatch}${own}`, left: size, bytes: 0 }
      open.set(kind, part)
    }
    part.left--
    part.bytes += unit.bytes
    named.set(unit.id, part.entry)
  }
  return named
}

/** Those of the units that are no longer open. */
export async function endedOf(db: Database, units: SentUnit[]): Promise<SentUnit[]> {
  if (units.length === 0) return []
  const { rows } = await sql<{ id: string }>`
    select id from units where id = any(${units.map(({ id }) => id)}::text[]) and not (${isOpenById})`.execute(db)
  const found = new Set(rows.map(({ id }) => id))
  return units.filter(({ id }) => found.has(id))
}

/** Of the entries of ended units, those in which another unit is open. */
export async function entriesInUse(db: Database, units: SentUnit[]): Promise<Set<string>> {
  const jobIds = [...new Set(units.map(({ job_id }) => job_id))]
  const entries = [...new Set(units.flatMap(({ entry }) => entry ?? []))]
  const { rows } = await sql<{ entry: string }>`
    select distinct entry from units
    where job_id = any(${jobIds}::text[]) and ${isOpenOfJob} and entry = any(${entries}::text[])`.execute(db)
  return new Set(rows.map(({ entry }) => entry))
}

/** Queues that have units which wait; looks from one name to the next, not at every unit. */
export async function queuesWithUnits(db: Database): Promise<string[]> {
  const { rows } = await sql<{ queue: string | null }>`
    with recursive names as (
      (select queue from units where status = 'QUEUED' order by queue limit 1)
      union all
      select (select queue from units where status = 'QUEUED' and queue > names.queue order by queue limit 1)
      from names where names.queue is not null
    )
    select queue from names where queue is not null`.execute(db)
  return rows.flatMap(({ queue }) => queue ?? [])
}
