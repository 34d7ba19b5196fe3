import { z } from 'zod'
import { unitPayloadSchema } from './unit.ts'

/** What a master writes into a worker's inbox stream (field `m`: a JSON list of messages, in order). */
export const inboxMessageSchema = z.discriminatedUnion('type', [
  /**
   * Answers a `hello`, whose `instance` it names; without one, what changed since. `httpUrl`: where the master's HTTP is;
   * `localUrl`: the same for a worker on its machine.
   */
  z.object({
    type: z.literal('welcome'),
    instance: z.string().nullable(),
    protocol: z.number().int(),
    version: z.string(),
    httpUrl: z.string(),
    localUrl: z.string(),
    draining: z.boolean()
  }),
  /**
   * An entry for the slot's want of this number: one unit, or several short ones of one job and task. A slot that no longer
   * has this want returns them. `tickets` are those of the units, in order; `ticket` that of the entry.
   */
  z.object({
    type: z.literal('units'),
    slot: z.string(),
    want: z.number().int(),
    entry: z.string(),
    queue: z.string(),
    ticket: z.string(),
    /** A slot had the entry before, and was lost or gave it back at once. */
    isAgain: z.boolean(),
    first: unitPayloadSchema,
    more: z.array(unitPayloadSchema.pick({ unitId: true, index: true, params: true })),
    tickets: z.array(z.string())
  }),
  /** Inputs that are likely to be needed next: fetch them while the slots run. */
  z.object({
    type: z.literal('prefetch'),
    units: z.array(unitPayloadSchema.pick({ inputRef: true, params: true }))
  }),
  z.object({ type: z.literal('cancel'), unitIds: z.array(z.string()) }),
  z.object({ type: z.literal('drain') }),
  z.object({ type: z.literal('resume') }),
  /** The last message: the worker may not log in any more. */
  z.object({ type: z.literal('revoked') })
])
export type InboxMessage = z.infer<typeof inboxMessageSchema>
export type UnitsMessage = Extract<InboxMessage, { type: 'units' }>
/** Orders of an admin, and cancelled units. */
export type ControlMessage = Extract<InboxMessage, { type: 'cancel' | 'drain' | 'resume' | 'revoked' }>
