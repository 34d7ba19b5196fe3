import type { ErrorReport } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import type { Database, UnitRow } from '../database/schema.ts'

/** Of a settled unit, what there is to put together. */
const TO_MERGE = ['id', 'task', 'index', 'status', 'params', 'span', 'output', 'output_ref', 'error'] as const
export type UnitToMerge = Pick<UnitRow, (typeof TO_MERGE)[number]>

/** The same without a look into it: its input and its output are JSON text. */
export interface UnitAsText extends Pick<UnitRow, 'id' | 'task' | 'status' | 'error'> {
  params: string
  output: string | null
}

/** The units of a settled job, in the order of the plan, read when they are asked for. */
export interface UnitsToMerge {
  all(): Promise<UnitToMerge[]>
  /** Some of them at a time: of any number, however large they are as objects. */
  pages(): AsyncGenerator<UnitAsText[]>
  /** Of the first one that has none but an error. */
  firstError(): Promise<ErrorReport | null>
}

/** Of one page. */
const PAGE_UNITS = 1_000
/** Inputs and outputs; one may be larger by itself. */
const PAGE_BYTES = 4 * 1024 ** 2

export function unitsToMerge(db: Database, jobId: string): UnitsToMerge {
  const ofJob = db.selectFrom('units').where('job_id', '=', jobId)
  return {
    all: () => ofJob.select(TO_MERGE).orderBy('index').execute(),
    pages: async function* () {
      for (const { first, last } of await findPages(db, jobId))
        yield await ofJob
          .select(['id', 'task', 'status', 'error'])
          .select([sql<string>`params::text`.as('params'), sql<string | null>`output::text`.as('output')])
          .where('index', '>=', first)
          .where('index', '<=', last)
          .orderBy('index')
          .execute()
    },
    firstError: async () => {
      const failed = ofJob.select('error').where('status', '!=', 'DONE').where('error', 'is not', null)
      return (await failed.orderBy('index').limit(1).executeTakeFirst())?.error ?? null
    }
  }
}

/** By index. */
async function findPages(db: Database, jobId: string): Promise<Array<{ first: number; last: number }>> {
  const { rows } = await sql<{ first: number; last: number }>`
    select min(index) as first, max(index) as last from (
      select index, (count(*) over upto - 1) / ${PAGE_UNITS}::integer as by_count,
        sum(coalesce(octet_length(output::text), 0) + coalesce(params_bytes, octet_length(params::text))) over upto
          / ${PAGE_BYTES}::integer as by_bytes
      from units where job_id = ${jobId} window upto as (order by index)
    ) as unit
    group by by_count, by_bytes order by first`.execute(db)
  return rows
}
