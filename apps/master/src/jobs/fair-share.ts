/**
 * DESIGN: who goes first among units of one priority. Start-time fair queueing: each unit gets a rank when it becomes
 * known, and the lowest rank goes first.
 *
 * - The clock (`fair_clock`) is the highest rank that was ever started: what comes now starts there, not before.
 * - A job's units follow each other by their cost (seconds of audio; 1 for a unit without a length), so a long job's later
 *   units lie behind the first ones of a short job that comes after it.
 * - That distance is multiplied by the number of open jobs of the same key: a key with ten jobs gets the share of one.
 * - Jobs of one key begin one after the other (`fair_keys`), so ten thousand jobs of one unit do not go before somebody
 *   else's first. With no other open job a key begins at the clock.
 *
 *   rank of a job's first unit:  max(clock, next of the key)     next of the key = rank + cost
 *   rank of its other units:     max(clock, next of the job)     next of the job = rank + cost x open jobs of the key
 *
 * A unit that is queued again keeps its rank, which is low by then: others of its job wait for it. The rank is the
 * first thing that a place in a queue depends on after `priority`; `send-next.ts` puts units into Redis in this order.
 */
import { type RawBuilder, sql } from 'kysely'
import type { DatabaseTransaction, JobRow } from '../database/schema.ts'

/** A unit of no length, in the seconds that ranks are counted in. */
const LEAST_COST = 1
/** Beyond, a key's jobs slow each other down no further. */
const MOST_JOBS_COUNTED = 50

/**
 * Ranks for units of a job, in order, given what each costs in seconds. The job's row must be locked by the caller's
 * transaction.
 */
export async function rankUnits(
  trx: DatabaseTransaction,
  job: Pick<JobRow, 'id' | 'key_id' | 'single'>,
  seconds: number[]
): Promise<number[]> {
  const { next_rank, clock, others } = await trx
    .selectFrom('jobs')
    .innerJoin('fair_clock', join => join.onTrue())
    .select(['jobs.next_rank', 'fair_clock.value as clock', openBeside(job).as('others')])
    .where('jobs.id', '=', job.id)
    .executeTakeFirstOrThrow()
  const openJobs = 1 + others
  const costs = seconds.map(length => Math.max(LEAST_COST, length))
  const first = next_rank ?? (await firstRank(trx, job, costs[0]))
  const ranks: number[] = []
  let next = Math.max(clock, first)
  for (const cost of costs) {
    ranks.push(next)
    next += cost * openJobs
  }
  // A job of one unit has no next one.
  if (!job.single) await trx.updateTable('jobs').set({ next_rank: next }).where('id', '=', job.id).execute()
  return ranks
}

type Beginning = Pick<JobRow, 'id' | 'key_id'>

/**
 * Open jobs of its key beside it; those that wait for their time take nothing yet, and are not come past: the others are
 * two stretches of an index.
 */
const openBeside = (job: Beginning) => sql<number>`(
  select count(*)::integer from (
    ${openOf(job)} and run_at is null
    union all
    ${openOf(job)} and run_at <= now()
    limit ${MOST_JOBS_COUNTED - 1}
  ) as open)`
const openOf = ({ id, key_id }: Beginning) =>
  sql`select from jobs where key_id = ${key_id} and id <> ${id} and status in ('PENDING', 'RUNNING')`

/**
 * A statement that answers the rank of a job's first unit: behind the beginnings of the key's other open jobs. Whether the
 * job's own row is there already makes no difference.
 */
export function takeTurn(job: Beginning, cost: number = LEAST_COST): RawBuilder<{ rank: number }> {
  return sql`
    insert into fair_keys (key_id, next_rank) select ${job.key_id}::text, value + ${cost}::float8 from fair_clock
    on conflict (key_id) do update set next_rank = ${cost}::float8 + (
      select case when ${openBeside(job)} > 0 then greatest(fair_keys.next_rank, value) else value end from fair_clock)
    returning next_rank - ${cost}::float8 as rank`
}

async function firstRank(trx: DatabaseTransaction, job: Beginning, cost: number | undefined): Promise<number> {
  const { rows } = await takeTurn(job, cost).execute(trx)
  return (rows[0] as { rank: number }).rank
}

/** A statement that moves the clock on to the highest rank that has been started. */
export function advanceClock(rank: number): RawBuilder<unknown> {
  return sql`update fair_clock set value = ${rank}::float8 where value < ${rank}::float8`
}
