import { z } from 'zod'
import { boundedList, boundedMs, boundedTexts } from './bounded.ts'
import { isRecord } from './is-record.ts'
import { protocolSchema } from './presence.ts'
import { lackingTaskSchema, taskDescriptionSchema } from './python-protocol.ts'
import { MOST_TASKS } from './task-limits.ts'
import { errorReportSchema, LONGEST_TIMING_MS, timingsSchema } from './unit.ts'

/** Slots of one worker: what a machine with 8 GPUs and 64 threads has, and more. */
export const MOST_SLOTS = 256
/** Queues of one slot: its classes, and of each the tasks of its own. */
const MOST_QUEUES = 2_000
/** Of all slots together: 256 that have 200 tasks of their own and what every worker has. */
const MOST_QUEUES_OF_ALL = 60_000
/** Of one line of a log; what has more is kept without its fields. */
const MOST_LOG_FIELDS = 1_000

const LONGEST_NAME = 200
const name = z.string().max(LONGEST_NAME)
/** Printable ASCII: what PostgreSQL keeps, and shows as it is. Ours are made of UUIDs, names of tasks, numbers. */
const id = z
  .string()
  .max(LONGEST_NAME)
  .regex(/^[\x20-\x7e]*$/, 'expected an id of printable ASCII')
/** `ticket`: the proof, from the unit's payload, that this worker was given this unit. */
const attempt = { unitId: id, attemptId: id, ticket: z.string().max(100) }

/**
 * A slot is free and asks for one entry from these queues, most demanding first. `want` counts up for each slot of a worker
 * process; a want stands until an entry names it, or until the slot's next one.
 */
const slotWantSchema = z.object({
  slot: id,
  want: z.number().int().positive(),
  queues: boundedTexts(MOST_QUEUES, LONGEST_NAME)
})
export type SlotWant = z.infer<typeof slotWantSchema>

/** An entry that a slot has, with the ticket that came with it. */
const holdingSchema = z.object({ entry: id, queue: name, slot: id, ticket: z.string().max(100) })
export type Holding = z.infer<typeof holdingSchema>

/** By hand: zod would walk the fields, and copy them. */
const logFieldsSchema = z.custom<Record<string, unknown>>(isRecord, 'expected fields by name').transform(fields => {
  const count = Object.keys(fields).length
  return count > MOST_LOG_FIELDS ? { leftOut: `${count} fields` } : fields
})

/**
 * What a worker writes into its own outbox stream (field `m`: a JSON list of messages, in order). `attemptId` is new for
 * each attempt; the master counts a second `started` of an open unit as a crash of the first. An attempt that is over at
 * once may leave its `started` out.
 */
export const outboxMessageSchema = z.discriminatedUnion('type', [
  /** First word of a worker process: what processes before it held is lost. */
  z.object({
    type: z.literal('hello'),
    /** New for each process. */
    instance: id,
    hostname: z.string().max(255),
    protocol: protocolSchema,
    version: name
  }),
  z.object({ type: z.literal('want'), ...slotWantSchema.shape }),
  /**
   * Every second while the worker holds something, else less often: all that it holds and all wants that stand. The sign of
   * life of what it holds.
   */
  z.object({
    type: z.literal('state'),
    instance: id,
    holding: boundedList(holdingSchema, 2 * MOST_SLOTS),
    wants: boundedList(slotWantSchema, MOST_SLOTS).refine(
      wants => wants.reduce((sum, { queues }) => sum + queues.length, 0) <= MOST_QUEUES_OF_ALL,
      `expected ${MOST_QUEUES_OF_ALL} queues of all wants at most`
    )
  }),
  z.object({ type: z.literal('started'), ...attempt, slot: id, waitedMs: boundedMs(LONGEST_TIMING_MS) }),
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
    fields: logFieldsSchema.optional()
  }),
  z.object({ type: z.literal('result'), ...attempt, slot: id, output: z.unknown(), timings: timingsSchema }),
  z.object({
    type: z.literal('error'),
    ...attempt,
    slot: id,
    error: errorReportSchema,
    retryable: z.boolean(),
    timings: timingsSchema
  }),
  /** The unit was given back unfinished or not begun, with its `entry`. Costs the unit nothing. */
  z.object({ type: z.literal('returned'), ...attempt, slot: id, entry: id, hasBegun: z.boolean() }),
  /**
   * Every task that the worker's slots can run, with its schemas; at start and whenever it changes. The worker has left
   * out and logged what is over the limits; from one that has not, the master takes the rest (`sortTasks`), unless there are
   * far too many. `lacking` are those of its tasks folder that none of its slots can run: they are shown, and it gets no
   * units of them. `classes` are the capability classes of its slots: the master gives it units of their queues.
   */
  z.object({
    type: z.literal('registered'),
    tasks: boundedList(taskDescriptionSchema, 5 * MOST_TASKS),
    lacking: boundedList(lackingTaskSchema, 5 * MOST_TASKS).optional(),
    classes: boundedTexts(50, 100).default([])
  })
])
export type OutboxMessage = z.infer<typeof outboxMessageSchema>

/** Messages between transport and worker, which no row of PostgreSQL depends on. */
export type LinkMessage = Extract<OutboxMessage, { type: 'want' | 'state' }>
/** Messages of one attempt. */
export type AttemptMessage = Extract<OutboxMessage, { attemptId: string }>

export function isOfAttempt(message: OutboxMessage): message is AttemptMessage {
  return 'attemptId' in message
}

/** An entry of an outbox stream, in characters: a longer message is cut into parts, one entry each. */
export const LARGEST_ENTRY = 1024 ** 2
/** Levels of what a task answers; a message has a few more around it. */
export const MOST_OUTPUT_DEPTH = 1_000
export const MOST_MESSAGE_DEPTH = MOST_OUTPUT_DEPTH + 10
/** Messages of one entry. */
export const MOST_MESSAGES = 1_000
/** A message as a whole, in characters: what is larger goes by file. */
export const LARGEST_MESSAGE = 16 * 1024 ** 2
