import { z } from 'zod'
import { ERRORS, type ErrorCode } from './errors.ts'
import { taskDescriptionSchema } from './python-protocol.ts'

/** What a slot gets of a unit: references only, never bytes or addresses that expire. */
export const unitPayloadSchema = z.object({
  unitId: z.string(),
  jobId: z.string(),
  task: z.string(),
  index: z.number().int().nonnegative(),
  /** Blob key of the unit's input, or null for a unit whose input is its params. */
  inputRef: z.string().nullable(),
  params: z.record(z.string(), z.unknown()),
  /** How long one attempt may run, in ms. */
  deadline: z.number().int().positive()
})
export type UnitPayload = z.infer<typeof unitPayloadSchema>

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

/** Where the time of an attempt went, in ms, each measured by one machine's own clock. */
export const timingsSchema = z.object({
  waited: z.number().nonnegative(),
  fetched: z.number().nonnegative(),
  ran: z.number().nonnegative(),
  reported: z.number().nonnegative()
})
export type Timings = z.infer<typeof timingsSchema>

export const errorReportSchema = z.object({
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  title: z.string(),
  detail: z.string()
})

const attempt = { unitId: z.string(), attemptId: z.string() }

/**
 * What a worker says of its attempts, in its own outbox stream (field `m`: a JSON list of messages, in order).
 * `attemptId` is new for each attempt; the master counts a second `started` of an open unit as a crash of the first. An
 * attempt that is over at once may leave its `started` out.
 */
export const outboxMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('started'), ...attempt, slot: z.string(), waitedMs: z.number().nonnegative() }),
  z.object({
    type: z.literal('progress'),
    ...attempt,
    fraction: z.number().min(0).max(1),
    partial: z.unknown().optional()
  }),
  z.object({
    type: z.literal('log'),
    ...attempt,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).optional()
  }),
  z.object({ type: z.literal('result'), ...attempt, slot: z.string(), output: z.unknown(), timings: timingsSchema }),
  z.object({
    type: z.literal('error'),
    ...attempt,
    slot: z.string(),
    error: errorReportSchema,
    retryable: z.boolean(),
    timings: timingsSchema
  }),
  /** The unit was given back unfinished or not begun, and its `entry` (its BullMQ id) is gone. Costs the unit nothing. */
  z.object({ type: z.literal('returned'), ...attempt, slot: z.string(), entry: z.string(), hasBegun: z.boolean() }),
  /**
   * Every task that the worker's slots can run, with its schemas; said at start and whenever it changes. The worker has
   * left out and logged what is over the limits; from one that has not, the master takes the rest (`sortTasks`).
   * `classes` are the capability classes of its slots: the master lets it into their queues.
   */
  z.object({
    type: z.literal('registered'),
    tasks: z.array(taskDescriptionSchema),
    classes: z.array(z.string().max(100)).max(50).default([])
  })
])
export type OutboxMessage = z.infer<typeof outboxMessageSchema>
/** What is said of one attempt. */
export type AttemptMessage = Exclude<OutboxMessage, { type: 'registered' }>

/** What the master tells a worker over its control channel. */
export const controlMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('cancel'), unitIds: z.array(z.string()) }),
  z.object({ type: z.literal('drain') }),
  z.object({ type: z.literal('resume') }),
  /** Its last word: the worker may not log in any more. */
  z.object({ type: z.literal('revoked') })
])
export type ControlMessage = z.infer<typeof controlMessageSchema>
