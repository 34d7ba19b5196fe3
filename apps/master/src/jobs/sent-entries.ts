import type { UnitPayload } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import { SENT, type SentUnit } from './send-next.ts'

/** What a unit's entry and its place in it are known by. */
export type Placed = Pick<SentUnit, 'id' | 'queue' | 'entry' | 'rank' | 'index'>

/** Inputs that are read at once: what is in Redis together may be hundreds of MB. */
const PIECE_BYTES = 8 * 1024 ** 2

/** By the entries that they are in; each in order. */
export function entriesOf<T extends Placed>(units: T[]): Array<[id: string, rows: [T, ...T[]]]> {
  const sent = units.filter(({ entry }) => entry !== null).sort((a, b) => a.rank - b.rank || a.index - b.index)
  return [...Map.groupBy(sent, ({ entry }) => entry as string)] as Array<[string, [T, ...T[]]]>
}

/** Entries with all that their slots get, some at a time. */
export async function* readInPieces(
  db: Database,
  units: Array<Placed & { bytes: number }>
): AsyncGenerator<SentUnit[], void> {
  let ids: string[] = []
  let bytes = 0
  for (const [, rows] of entriesOf(units)) {
    const more = rows.reduce((sum, row) => sum + row.bytes, 0)
    if (ids.length > 0 && bytes + more > PIECE_BYTES) {
      yield await read(db, ids)
      ids = []
      bytes = 0
    }
    ids.push(...rows.map(({ id }) => id))
    bytes += more
  }
  if (ids.length > 0) yield await read(db, ids)
}

/** For `readInPieces`. */
export const BYTES = sql<number>`coalesce(params_bytes, octet_length(params::text))::integer`.as('bytes')

async function read(db: Database, ids: string[]): Promise<SentUnit[]> {
  return await db.selectFrom('units').select(SENT).where('id', 'in', ids).execute()
}

/** What its slot gets. */
export function toPayload(unit: SentUnit): UnitPayload {
  return {
    unitId: unit.id,
    jobId: unit.job_id,
    task: unit.task,
    index: unit.index,
    inputRef: unit.input_sha256 === null ? unit.input_ref : null,
    ...(unit.input_sha256 !== null && { inputSha256: unit.input_sha256 }),
    params: unit.params,
    ...(!unit.retry_crashes && { runsOnce: true }),
    ...(unit.seconds > 0 && { seconds: unit.seconds }),
    deadline: unit.deadline_ms
  }
}
