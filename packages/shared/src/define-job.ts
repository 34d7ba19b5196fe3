import { z } from 'zod'
import { toJsonSchema } from './define-task.ts'
import { type ErrorReport, ScError } from './errors.ts'
import { TASK_NAME, TASK_NAME_RULE } from './task-name.ts'

/** A unit of a job: a task of the cluster and its input. */
export interface JobUnit {
  /** Name of the task. */
  task: string
  /** Must satisfy the task's input schema. */
  input: unknown
}

/** What became of a unit, in the order of the plan. */
export interface UnitOutcome {
  unitId: string
  task: string
  /** As the plan yielded it, with the defaults of the task. */
  input: unknown
  /** Null when it failed for good. */
  output: unknown
  error: ErrorReport | null
}

export interface JobContext {
  /** Fires when the job was cancelled or the master stops; a plan that the master stopped in runs again from its start. */
  signal: AbortSignal
  /** Adds a unit and waits for its output: for plans that depend on a result. Throws the unit's error. */
  run(unit: JobUnit): Promise<unknown>
}

export interface JobOptions<Input extends z.ZodType, Output extends z.ZodType> {
  /** As it is posted to: `POST /api/tasks/NAME`. Lower-case letters, digits, `.` and `-`. */
  name: string
  description?: string
  input: Input
  output: Output
  /**
   * Yields the job's units, each queued at once. It may run again after a restart of the master, and must then yield the
   * same units in the same order: units that are done are not done again.
   */
  plan(input: z.output<Input>, context: JobContext): AsyncGenerator<JobUnit, void>
  /** Makes the job's output of what became of its units, in the order of the plan; may run more than once. */
  merge(units: UnitOutcome[], input: z.output<Input>): z.input<Output> | Promise<z.input<Output>>
  /**
   * False (the default): a unit that failed for good fails the job. True: `merge` decides, by throwing, and the job is
   * PARTIAL when some failed.
   */
  toleratesFailures?: boolean
}

export interface DefinedJob {
  readonly name: string
  readonly description: string
  readonly input: z.ZodType
  readonly output: z.ZodType
  readonly toleratesFailures: boolean
  /** JSON Schema 2020-12 of what is sent and of what comes back. */
  readonly inputSchema: Record<string, unknown>
  readonly outputSchema: Record<string, unknown>
  plan(input: unknown, context: JobContext): AsyncGenerator<JobUnit, void>
  merge(units: UnitOutcome[], input: unknown): unknown
}

const KNOWN = ['name', 'description', 'input', 'output', 'plan', 'merge', 'toleratesFailures']
/** Known to every copy of this module. */
const KIND = Symbol.for('semantics-cluster.job')

/**
 * A job of several units, in a file of `SC_TASKS_DIR` on the master: `export default defineJob({ … })`. The options are
 * checked here, once: SC_CONFIG says what is wrong.
 */
export function defineJob<Input extends z.ZodType, Output extends z.ZodType>(
  options: JobOptions<Input, Output>
): DefinedJob {
  const { name, description = '', input, output, plan, merge, toleratesFailures = false } = options
  const refuse = (what: string) => new ScError('SC_CONFIG', `defineJob ${JSON.stringify(name)}: ${what}`)
  if (typeof name !== 'string' || !TASK_NAME.test(name) || name.startsWith('transcribe'))
    throw refuse(`name: ${TASK_NAME_RULE}, and not with transcribe`)
  const unknown = Object.keys(options).filter(key => !KNOWN.includes(key))
  if (unknown.length > 0) throw refuse(`there is no option ${unknown.join(', ')}; there are ${KNOWN.join(', ')}`)
  if (!(input instanceof z.ZodObject)) throw refuse('input: expected a z.object({ … })')
  if (!(output instanceof z.ZodType)) throw refuse('output: expected a zod schema')
  if (typeof plan !== 'function' || typeof merge !== 'function') throw refuse('plan, merge: expected functions')
  const [inputSchema, outputSchema] = [{ ...toJsonSchema(input, 'input') }, { ...toJsonSchema(output, 'output') }]
  const said = { name, description, input, output, inputSchema, outputSchema, toleratesFailures, plan, merge }
  return Object.freeze({ [KIND]: true, ...said }) as unknown as DefinedJob
}

export function isDefinedJob(value: unknown): value is DefinedJob {
  return typeof value === 'object' && value !== null && KIND in value
}
