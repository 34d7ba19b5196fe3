import { type UnitPayload, unitPayloadSchema } from '@sc/shared/unit.ts'
import { z } from 'zod'

/** What BullMQ carries: a unit, and with it further ones of the same job and task where each takes but milliseconds. */
export const queueEntrySchema = unitPayloadSchema.extend({
  more: z.array(unitPayloadSchema.pick({ unitId: true, index: true, params: true })).optional()
})
export type QueueEntry = z.infer<typeof queueEntrySchema>

/** The units of an entry, in the order in which they run. */
export function unitsOf({ more = [], ...first }: QueueEntry): [UnitPayload, ...UnitPayload[]] {
  return [first, ...more.map(own => ({ ...first, ...own }))]
}

/** The units, which are of one job and task, as one entry. */
export function entryOf(units: [UnitPayload, ...UnitPayload[]]): QueueEntry {
  const [first, ...rest] = units
  return rest.length === 0
    ? first
    : { ...first, more: rest.map(({ unitId, index, params }) => ({ unitId, index, params })) }
}
