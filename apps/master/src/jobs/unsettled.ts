import type { AttemptMessage, OutboxMessage } from '@sc/shared/outbox-message.ts'
import { type Kysely, sql } from 'kysely'
import { isOpenById } from '../database/by-id.ts'
import type { Tables, UnitRow } from '../database/schema.ts'
import type { Said } from './accept-batch.ts'

type Outcome = Extract<AttemptMessage, { type: 'result' | 'error' | 'returned' }>

/** Whether the message says that an attempt is over. */
export function isOutcome(message: OutboxMessage): message is Outcome {
  return message.type === 'result' || message.type === 'error' || message.type === 'returned'
}

/** An outcome that changed nothing, of a unit that is open, and in Redis as this entry: whoever has that must not leave it. */
export interface Unsettled {
  workerId: string
  unitId: string
  entry: string
  /** It is known already, as what is read twice is, or of an earlier entry: it says nothing of this one. */
  isRepeated: boolean
}

type Open = Pick<UnitRow, 'id' | 'entry' | 'status' | 'worker_id' | 'attempt_id'> & { entry: string }

/** Of outcomes that settled nothing (`settled`: the units of the others). One that another worker runs by now is that one's. */
export async function findUnsettled(
  db: Kysely<Tables>,
  said: Said[],
  settled: ReadonlySet<string>
): Promise<Unsettled[]> {
  const idle = said.flatMap(({ workerId, message }) =>
    isOutcome(message) && !settled.has(message.unitId) ? { workerId, message } : []
  )
  if (idle.length === 0) return []
  const ids = [...new Set(idle.map(({ message }) => message.unitId))]
  const { rows } = await sql<Open>`
    select id, entry, status, worker_id, attempt_id from units
    where id = any(${ids}::text[]) and ${isOpenById} and entry is not null`.execute(db)
  const open = new Map(rows.map(unit => [unit.id, unit]))
  return idle.flatMap(({ workerId, message }) => {
    const unit = open.get(message.unitId)
    if (!unit || (unit.status === 'RUNNING' && unit.worker_id !== workerId)) return []
    const isOfAnother = message.type === 'returned' && message.entry !== unit.entry
    const isRepeated = isOfAnother || message.attemptId === unit.attempt_id
    return [{ workerId, unitId: unit.id, entry: unit.entry, isRepeated }]
  })
}
