import { z } from 'zod'
import { boundedMs } from './bounded.ts'
import { ERRORS, type ErrorCode } from './errors.ts'

/** What a slot gets of a unit: references only, never bytes or addresses that expire. */
export const unitPayloadSchema = z.object({
  unitId: z.string(),
  jobId: z.string(),
  task: z.string(),
  index: z.number().int().nonnegative(),
  /** Blob key of the unit's input, or null for a unit whose input is its params. */
  inputRef: z.string().nullable(),
  /** sha256 of an input that is too large for a message, in place of `params`: JSON that whoever has the ticket fetches. */
  inputSha256: z.string().optional(),
  params: z.record(z.string(), z.unknown()),
  /** Of audio that it covers; left out: it is about none. */
  seconds: z.number().positive().optional(),
  /** Its task must not run twice (`retryCrashes: false`). */
  runsOnce: z.boolean().optional(),
  /** How long one attempt may run, in ms. */
  deadline: z.number().int().positive()
})
export type UnitPayload = z.infer<typeof unitPayloadSchema>

/** Where the master gives out a unit's large input, below `/blobs/`. */
export const LARGE_INPUTS = 'inputs/'
export const largeInputKey = (unitId: string, ticket: string): string => `${LARGE_INPUTS}${unitId}/${ticket}`

/** Of one phase of an attempt, or of its wait: 115 days. */
export const LONGEST_TIMING_MS = 1e10
const timing = boundedMs(LONGEST_TIMING_MS)

/** Where the time of an attempt went, in ms, each measured by one machine's own clock. */
export const timingsSchema = z.object({ waited: timing, fetched: timing, ran: timing, reported: timing })
export type Timings = z.infer<typeof timingsSchema>

export const errorReportSchema = z.object({
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  title: z.string(),
  detail: z.string()
})
