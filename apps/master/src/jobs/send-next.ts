import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { isOpenById, isOpenOfJob, isQueuedById } from '../database/by-id.ts'
import type { Database, UnitRow } from '../database/schema.ts'
import { RANKS_PER_LAP } from '../queues/queue-order.ts'

/** Inputs of an entry of several units: they travel as one value of Redis, which takes 4 MB. */
const MOST_TOGETHER_BYTES = 512 * 1024
/** A job's units in the head are at least so many entries for each slot, */
const SHARES_OF_A_SLOT = 2
/** but none is less than this part of what may be one: together that is some ms, and slots are what workers say they have. */
const LEAST_SHARE = 1 / 4
/** Behind this part of a full head an entry waits until it is full. */
const SENT_AT_ONCE = 1 / 2

const PLACE = ['queue', 'entry', 'priority', 'rank'] as const
export const SENT = [
  'id',
  'job_id',
  'task',
  'index',
  'input_ref',
  'input_sha256',
  'params',
  'seconds',
  'deadline_ms',
  'retry_crashes',
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
  /** Entries that workers have. Their units are QUEUED until they begin, which a worker may put off. */
  taken: string[]
  /** Inputs of the queue's units that are in Redis, together; see `head-room.ts`. */
  mostBytes: number
}

export interface Marked {
  /** To be put into Redis. */
  units: SentUnit[]
  /** How many of the head were there already. */
  before: number
  /** Inputs of the whole head. */
  bytes: number
  /** The last place of a full head; null: there is room. */
  end: Pick<UnitRow, 'priority' | 'rank'> | null
  /** Nothing else waits that may run now. */
  isAll: boolean
}

/**
 * Takes the units that belong at the head of a queue and are not in it: of all its units that may run now and that no worker
 * has, the first `most` by priority and rank. Names the entry of each; the caller puts them into Redis. Should it not come to
 * that, the reconciler does.
 *
 * The rest waits here: Redis holds no more than what goes next, a cancelled job of 100,000 units leaves nothing in it,
 * and a unit that comes later and goes first is sent at once.
 */
export async function markHead(db: Database, queue: string, head: Head): Promise<Marked> {
  const parts = await readHead(db, queue, head)
  const before = sum(parts.map(({ id, units }) => (id === null ? units : 0)))
  const named = nameEntries(parts, head)
  const end = endOf(parts, head)
  const isAll = end === null && parts.every(({ id }) => id === null || named.has(id))
  const bytes = sum(parts.map(part => (part.id === null || named.has(part.id) ? part.bytes : 0)))
  if (named.size === 0) return { units: [], before, bytes, end, isAll }
  // Not a join: where few rows had no entry when PostgreSQL last counted, it would rather read the whole table.
  const { rows } = await sql<SentUnit>`
    update units set sent_at = now(), entry = ${JSON.stringify(Object.fromEntries(named))}::jsonb ->> id
    where id = any(${[...named.keys()]}::text[]) and ${isQueuedById} and entry is null
    returning ${sql.join(SENT.map(name => sql.ref(`units.${name}`)))}`.execute(db)
  return { units: rows, before, bytes, end, isAll }
}

interface Unsent
  extends Pick<UnitRow, 'id' | 'job_id' | 'task' | 'deadline_ms' | 'dispatch' | 'priority' | 'rank' | 'retry_crashes'> {
  units: 1
  last_rank: number
  has_files: boolean
  bytes: number
  /** In the head, from 1. */
  place: number
}

/** Those units of one job and priority that are in Redis; `rank`: the lowest. */
interface Sent extends Pick<UnitRow, 'job_id' | 'priority' | 'rank'> {
  id: null
  last_rank: number
  units: number
  bytes: number
}

/**
 * The first `most` units of the queue that no worker has, in order. Those that are in Redis are only counted: at each look
 * there are many.
 */
async function readHead(db: Database, queue: string, { most, taken }: Head): Promise<Array<Unsent | Sent>> {
  const { rows } = await sql<Unsent | Sent>`
    with head as materialized (
      select id, job_id, task, deadline_ms, dispatch, priority, rank, retry_crashes, entry, input_ref is not null as has_files,
        coalesce(params_bytes, octet_length(params::text)) as bytes,
        (row_number() over (order by priority desc, rank, queued_at))::integer as place
      from units
      where queue = ${queue} and status = 'QUEUED' and is_due
        and (entry is null or entry <> all(${taken}::text[]))
      order by priority desc, rank, queued_at limit ${most}
    )
    select id, job_id, task, deadline_ms, dispatch, priority, rank, retry_crashes, has_files, bytes::float8, 1 as units, place,
      rank as last_rank
    from head where entry is null
    union all
    select null, job_id, null, null, null, priority, min(rank), null, null, sum(bytes)::float8, count(*)::integer, null, max(rank)
    from head where entry is not null group by job_id, priority
    order by place`.execute(db)
  return rows
}

function isFull(parts: Array<Unsent | Sent>, { most }: Head): boolean {
  return sum(parts.map(({ units }) => units)) >= most
}

function endOf(parts: Array<Unsent | Sent>, head: Head): Marked['end'] {
  if (!isFull(parts, head)) return null
  const priority = Math.min(...parts.map(part => part.priority))
  const last = parts.filter(part => part.priority === priority)
  return { priority, rank: Math.max(...last.map(part => part.last_rank)) }
}

/**
 * The entry of each unit that is not in Redis, by its id. Held back are units of a later lap than the first of their
 * priority, since within Redis ranks count modulo RANKS_PER_LAP; and what would be more than `mostBytes`, but the first where there is
 * any room. An
 * entry of several units has only such as are on their first way: of one job and task, without files, and none that must not run twice. It has the name of
 * its first. Where the head is full and more is to come, the last units wait to fill an entry: else each unit that ends
 * would bring an entry of one.
 */
function nameEntries(parts: Array<Unsent | Sent>, head: Head): Map<string, string> {
  const { most, together, slots, mostBytes } = head
  const named = new Map<string, string>()
  const open = new Map<string, { entry: string; left: number; bytes: number; units: Unsent[] }>()
  const lapOf = (rank: number): number => Math.floor(rank / RANKS_PER_LAP)
  const unitsOf = new Map<string, number>()
  const firstRankOf = new Map<number, number>()
  let bytes = 0
  for (const part of parts) {
    unitsOf.set(part.job_id, (unitsOf.get(part.job_id) ?? 0) + part.units)
    firstRankOf.set(part.priority, Math.min(firstRankOf.get(part.priority) ?? part.rank, part.rank))
    if (part.id === null) bytes += part.bytes
  }
  for (const unit of parts) {
    if (unit.id === null) continue
    const isFirst = bytes === 0
    bytes += unit.bytes
    const firstRank = firstRankOf.get(unit.priority) ?? unit.rank
    if (lapOf(unit.rank) !== lapOf(firstRank) || (bytes > mostBytes && !(isFirst && mostBytes > 0))) continue
    const isFresh = unit.dispatch === 0 && !unit.has_files && unit.retry_crashes
    const share = Math.floor((unitsOf.get(unit.job_id) ?? 1) / (SHARES_OF_A_SLOT * Math.max(1, slots)))
    const largest = together[unit.task] ?? 1
    const size = isFresh ? Math.min(largest, Math.max(share, Math.ceil(LEAST_SHARE * largest))) : 1
    const kind = JSON.stringify([unit.job_id, unit.task, unit.deadline_ms])
    let part = size > 1 ? open.get(kind) : undefined
    if (!part || part.left === 0 || part.bytes + unit.bytes > MOST_TOGETHER_BYTES) {
      // Another master may give the same unit other companions at this moment: then these are two entries.
      const own = size > 1 ? `-${randomBytes(6).toString('base64url')}` : ''
      part = { entry: `${unit.id}-${unit.dispatch}${own}`, left: size, bytes: 0, units: [] }
      open.set(kind, part)
    }
    part.left--
    part.bytes += unit.bytes
    part.units.push(unit)
    named.set(unit.id, part.entry)
  }
  if (!isFull(parts, head)) return named
  for (const { left, units } of open.values())
    if (left > 0 && (units[0] as Unsent).place > SENT_AT_ONCE * most) for (const { id } of units) named.delete(id)
  return named
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

/** They wait in PostgreSQL alone again. */
export async function unmark(db: Database, units: Array<Pick<UnitRow, 'id' | 'entry'>>): Promise<void> {
  if (units.length === 0) return
  await sql`
    update units set entry = null, sent_at = null
    from json_to_recordset(${JSON.stringify(units.map(({ id, entry }) => ({ id, entry })))}::json) as sent (id text, entry text)
    where units.id = sent.id and units.entry = sent.entry and ${isQueuedById}`.execute(db)
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
