import type { UnitPayload } from '@sc/shared/unit.ts'
import type { SentUnit } from './send-next.ts'

type Entry = [id: string, rows: [SentUnit, ...SentUnit[]]]

/** By the entries that they are in; each in order. */
export function entriesOf(units: SentUnit[]): Entry[] {
  const sent = units.filter(({ entry }) => entry !== null).sort((a, b) => a.rank - b.rank || a.index - b.index)
  return [...Map.groupBy(sent, ({ entry }) => entry as string)] as Entry[]
}

/** What its slot gets. */
export function toPayload(unit: SentUnit): UnitPayload {
  return {
    unitId: unit.id,
    jobId: unit.job_id,
    task: unit.task,
    index: unit.index,
    inputRef: unit.input_ref,
    params: unit.params,
    ...(unit.seconds > 0 && { seconds: unit.seconds }),
    deadline: unit.deadline_ms
  }
}
