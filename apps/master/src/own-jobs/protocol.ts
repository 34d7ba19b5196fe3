import type { UnitOutcome } from '@sc/shared/define-job.ts'
import type { ErrorReport } from '@sc/shared/errors.ts'
import { leftOutSchema } from '@sc/shared/python-protocol.ts'
import { z } from 'zod'

/**
 * DESIGN: the lines between a master and the process with the jobs of the user's own: JSON, one object a line. Several runs (a
 * plan or a merge of one job each) go on at once, each under an id.
 *
 *   master                                  process
 *     hello ------------------------------------>      imports the files of the folder
 *        <-------------------------------- ready       the jobs, and what was left out
 *     plan id ---------------------------------->
 *        <----------------------------- units id       up to AHEAD and AHEAD_CHARS that were not taken, in the order of the plan
 *     taken id --------------------------------->      those of one such line
 *     ran id ----------------------------------->      of a unit with a `call`, which is awaited: its output, or its error
 *        <--------------------------- planned id
 *     outcomes id, …, merge id ----------------->      what became of the units, in pieces
 *        <------------------ output id, …, merged id      the job's output, in pieces of its text
 *     cancel id -------------------------------->      nothing of it counts any more
 *        <---------------------------- failed id       in place of planned and merged
 *     ping ------------------------------------->
 *        <--------------------------------- pong       its event loop turns
 *
 * Inputs and outputs of units are JSON text within the JSON: as objects they may be many times as large, and the master only
 * passes them on.
 */
export const AHEAD = 1_000
/** Of their inputs. As many again are being added by the master. */
export const AHEAD_CHARS = 2 * 1024 ** 2
/** No unit may have a larger input, and so no line is longer than the master reads. */
export const MOST_INPUT_CHARS = 3 * 1024 ** 2

/** What became of a unit. */
export interface OutcomeLine extends Omit<UnitOutcome, 'input' | 'output'> {
  input: string
  output: string | null
}

export type ToProcess =
  | { type: 'hello'; tasksDir: string }
  | { type: 'plan'; id: string; job: string; input: unknown }
  | { type: 'taken'; id: string }
  | { type: 'ran'; id: string; call: number; output: string | null; error: ErrorReport | null }
  | { type: 'outcomes'; id: string; units: OutcomeLine[] }
  | { type: 'merge'; id: string; job: string; input: unknown }
  | { type: 'cancel'; id: string }
  | { type: 'ping' }

const id = z.string()
/** `call`: of `context.run`; null: it was yielded. */
const unit = z.object({ task: z.string(), input: z.string(), call: z.number().int().nullable() })
/** A unit that a plan asks for. */
export type UnitLine = z.infer<typeof unit>

const jobDescriptionSchema = z.object({
  name: z.string(),
  description: z.string(),
  inputSchema: z.record(z.string(), z.unknown()),
  outputSchema: z.record(z.string(), z.unknown()),
  toleratesFailures: z.boolean(),
  file: z.string()
})
/** A job of the user's own, as a master knows it. */
export type JobDescription = z.infer<typeof jobDescriptionSchema>

export const fromProcessSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready'), jobs: z.array(jobDescriptionSchema), leftOut: z.array(leftOutSchema) }),
  z.object({ type: z.literal('units'), id, units: z.array(unit) }),
  z.object({ type: z.literal('planned'), id }),
  z.object({ type: z.literal('output'), id, text: z.string() }),
  z.object({ type: z.literal('merged'), id }),
  z.object({
    type: z.literal('failed'),
    id,
    code: z.string(),
    message: z.string(),
    retryable: z.boolean(),
    detail: z.string()
  }),
  /** `id` is null where it is not known which run wrote it. */
  z.object({
    type: z.literal('log'),
    id: id.nullable(),
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: z.string()
  }),
  z.object({ type: z.literal('pong') })
])
export type FromProcess = z.infer<typeof fromProcessSchema>
