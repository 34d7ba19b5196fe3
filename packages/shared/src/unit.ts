import { z } from 'zod'
import { ERRORS, type ErrorCode } from './errors.ts'

/** What a slot gets of a unit: references only, never bytes or addresses that expire. */
export const unitPayloadSchema = z.object({
  unitId: z.string(),
  jobId: z.string(),
  task: z.string(),
  index: z.number().int().nonnegative(),
  /** Blob key of the unit's input, or null for a unit whose input is its params. */
  inputRef: z.string().nullable(),
  params: z.record(z.string(), z.unknown()),
  /** Of audio that it covers; left out: it is about none. */
  seconds: z.number().positive().optional(),
  /** How long one attempt may run, in ms. */
  deadline: z.number().int().positive()
})
export type UnitPayload = z.infer<typeof unitPayloadSchema>

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
