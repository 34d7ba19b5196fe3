import { sql } from 'kysely'
import { inIndexOrder } from '../database/in-index-order.ts'
import { keepLarge, LARGE, perDatabase } from '../database/keep-large.ts'
import type { Database } from '../database/schema.ts'

/** Units that were done in the last minute. */
export interface DoneLately {
  units: number
  /** Of audio. */
  seconds: number
}

interface Second extends DoneLately {
  atMs: number
}

const MINUTE_MS = 60_000
/** A unit is written as done when its transaction ends, by the time at which that began. */
const WRITTEN_WITHIN_MS = 10_000

/**
 * DESIGN: at thousands of units a second a minute has hundreds of thousands, of which each must be looked at whether it
 * is there. So what was counted is kept by the second, and only the last WRITTEN_WITHIN_MS are counted again. The minute
 * is then up to one second too long. With up to LARGE units all are counted each time.
 */
export function createDoneLately(db: Database): () => Promise<DoneLately> {
  let kept: Second[] = []

  async function count(): Promise<DoneLately> {
    const nowMs = await timeOf(db)
    const againMs = Math.max(nowMs - MINUTE_MS, (kept.at(-1)?.atMs ?? 0) + 1_000)
    const past = kept.filter(({ atMs }) => atMs + 1_000 > nowMs - MINUTE_MS)
    const seconds = [...past, ...(await countSince(db, againMs))]
    const all = { units: sum(seconds.map(({ units }) => units)), seconds: sum(seconds.map(one => one.seconds)) }
    kept = all.units > LARGE ? seconds.filter(({ atMs }) => atMs + 1_000 <= nowMs - WRITTEN_WITHIN_MS) : []
    return all
  }

  return keepLarge(count, ({ units }) => units)
}

const counterOf = perDatabase(createDoneLately)

export async function readDoneLately(db: Database): Promise<DoneLately> {
  return await counterOf(db)()
}

async function timeOf(db: Database): Promise<number> {
  const { rows } = await sql<{ ms: number }>`select (extract(epoch from now()) * 1000)::float8 as ms`.execute(db)
  return rows[0]?.ms ?? Date.now()
}

/** From one name of a task to the next, and of each only its newest units: the order of the index `units_done`. */
async function countSince(db: Database, sinceMs: number): Promise<Second[]> {
  const { rows } = await inIndexOrder(db, trx =>
    sql<Second>`
      with recursive tasks as (
        (select task from units where status = 'DONE' order by task limit 1)
        union all
        select (select task from units where status = 'DONE' and task > tasks.task order by task limit 1)
        from tasks where tasks.task is not null
      ), done as (
        select date_trunc('second', units.finished_at) as second, units.seconds from tasks
        cross join lateral (
          select finished_at, seconds from units
          where units.task = tasks.task and status = 'DONE' and finished_at >= to_timestamp(${sinceMs}::float8 / 1000)
        ) as units
      )
      select (extract(epoch from second) * 1000)::float8 as "atMs", count(*)::float8 as units,
        sum(seconds)::float8 as seconds
      from done group by second`.execute(trx)
  )
  return rows.sort((a, b) => a.atMs - b.atMs)
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
