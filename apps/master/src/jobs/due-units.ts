import { pause } from '@sc/shared/pause.ts'
import { type Kysely, sql } from 'kysely'
import type { Logger } from 'pino'
import { isQueuedById } from '../database/by-id.ts'
import type { Database, Tables, UnitRow } from '../database/schema.ts'
import type { Dispatch } from './dispatch.ts'

/**
 * Makes units due (`is_due`) whose time has come: those of a delayed job, or after the pause that follows a failed attempt.
 * Until then no reader of a queue comes past them. Any number of masters may look; with nothing to do a look ends at the
 * first entry of an index.
 */
export interface DueUnitsDeps {
  requestDb: Database
  dispatch: Pick<Dispatch, 'added'>
  log: Logger
}

const EVERY_MS = 500
const AT_ONCE = 1_000

export function startDueUnits({ requestDb, dispatch, log }: DueUnitsDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const count = await makeDue(requestDb).then(
        units => {
          dispatch.added(units)
          return units.length
        },
        error => {
          log.warn({ err: error }, 'looking for units whose time has come failed; trying again')
          return 0
        }
      )
      if (count < AT_ONCE) await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

/** The first thousand by their time, but those that another has locked. `byIndexes`: see `connectDatabase`. */
export async function makeDue(byIndexes: Kysely<Tables>): Promise<Array<Pick<UnitRow, 'queue' | 'priority' | 'rank'>>> {
  const { rows } = await sql<Pick<UnitRow, 'queue' | 'priority' | 'rank'>>`
    with due as materialized (
      select id from units where status = 'QUEUED' and not is_due and not_before <= now()
      order by not_before limit ${AT_ONCE} for update skip locked
    )
    update units set is_due = true where id = any(array(select id from due)) and ${isQueuedById}
    returning queue, priority, rank`.execute(byIndexes)
  return rows
}
