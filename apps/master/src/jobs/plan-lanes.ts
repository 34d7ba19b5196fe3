import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'

/** Kinds of plans: what one of them waits for must not hold up those of another. */
export type Lane = 'light' | 'large' | 'short' | 'long'

/** How many may be under way on one master, and how many of them for one key. */
export const LANES: Record<Lane, { most: number; ofKey: number }> = {
  // They take no time of their own, and may wait for results long.
  light: { most: 100, ofKey: 50 },
  // The same with large inputs, which the one process that runs them has in memory.
  large: { most: 6, ofKey: 2 },
  // By what the file says of itself: a lie costs its own key a place.
  short: { most: 8, ofKey: 2 },
  long: { most: 6, ofKey: 2 }
}
const SHORT_SECONDS = 15 * 60

export interface Candidate {
  id: string
  key_id: string
  lane: Lane
}

/** Of each key and lane the job that is planned next: by priority, then the oldest. */
export async function planCandidates(db: Database, lightTasks: string[]): Promise<Candidate[]> {
  const { rows } = await sql<Candidate>`
    select distinct on (lane, key_id) id, key_id, lane from (
      select jobs.id, jobs.key_id, jobs.priority, jobs.created_at, case when jobs.task = any(${lightTasks}::text[])
        then case when jobs.input_ref is null then 'light' else 'large' end when jobs.duration_seconds <= ${SHORT_SECONDS} then 'short' else 'long' end as lane
      from jobs left join plans on plans.job_id = jobs.id
      where not jobs.planned and jobs.status in ('PENDING', 'RUNNING') and (jobs.run_at is null or jobs.run_at <= now())
        and (plans.job_id is null or (plans.until <= now() and plans.not_before <= now()))
    ) as waiting
    order by lane, key_id, priority desc, created_at, id`.execute(db)
  return rows
}

/**
 * The one to begin, or undefined. A key with fewer plans under way goes first; of those alike, the one whose last was begun
 * longest ago.
 */
export function chooseCandidate(
  candidates: Candidate[],
  open: Iterable<Pick<Candidate, 'key_id' | 'lane'>>,
  lastBegun: Map<string, number>
): Candidate | undefined {
  const held = [...open]
  const countOf = (lane: Lane, keyId?: string): number =>
    held.filter(one => one.lane === lane && (keyId === undefined || one.key_id === keyId)).length
  const fits = ({ lane, key_id }: Candidate): boolean =>
    countOf(lane) < LANES[lane].most && countOf(lane, key_id) < LANES[lane].ofKey
  const [first] = candidates
    .filter(fits)
    .sort(
      (a, b) =>
        countOf(a.lane, a.key_id) - countOf(b.lane, b.key_id) ||
        (lastBegun.get(a.key_id) ?? 0) - (lastBegun.get(b.key_id) ?? 0)
    )
  return first
}
