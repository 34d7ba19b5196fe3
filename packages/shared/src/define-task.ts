import { z } from 'zod'
import { ScError } from './errors.ts'
import type { TaskDescription } from './python-protocol.ts'
import { TASK_NAME, TASK_NAME_RULE } from './task-name.ts'

/**
 * A task in TypeScript: `import { defineTask } from 'semantics-cluster'` in a file of `SC_TASKS_DIR`. Everything that a
 * task's author may import by that name is exported here.
 */

/** Also the name of a program, which is looked for on PATH. */
const FEATURE = /^[A-Za-z0-9][\w.+-]{0,62}$/
/** Tasks of the project itself. */
const OWN_PREFIX = 'transcribe.'
/** What an input's local files are called; see `runOnChild`. */
export const FILES = 'files'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Record<string, unknown>
/** Fields may also come first, as pino has them. */
type Say = { (message: string, fields?: LogFields): void; (fields: LogFields, message?: string): void }
/** `log('text', { fields })` is of level info; `log.warn` and the others are of theirs. */
export type TaskLog = Say & Record<LogLevel, Say>

/** What a task gets beside its input. */
export interface TaskContext {
  /** Into the job's log. */
  log: TaskLog
  /** Aborts when the job is cancelled or the worker stops: hand it to `fetch` and whatever else takes one. */
  signal: AbortSignal
  /** `fraction` of the run is done, 0 to 1; `partial` is what is known of the output so far. */
  progress: (fraction: number, partial?: unknown) => void
  /** Local paths of the unit's files, by name. */
  files: Readonly<Record<string, string>>
}

/** What a slot must have to run the task. */
export interface TaskRequirements {
  /** Default: false, or true where `vramGb` is more than 0. */
  gpu?: boolean
  /** GB of GPU memory; default 0. */
  vramGb?: number
  /** Programs that must be on the worker's PATH, by name; `llm`: a local LLM server, `ollama`: its program or it. */
  features?: string[]
}

export interface TaskOptions<I extends z.ZodType, O extends z.ZodType> {
  /** How it is called: see `TASK_NAME`; not `transcribe.…`. */
  name: string
  description?: string
  requires?: TaskRequirements
  /**
   * False: it must not run twice. Where its process or its worker dies, the unit fails with SC_MAY_HAVE_RUN in place of
   * running again. Default: true.
   */
  retryCrashes?: boolean
  /** An object schema; it travels to the master as JSON Schema. */
  input: I
  output: O
  /** One attempt. A throw fails it and it is tried again, unless the error has `retryable: false`. */
  run(input: z.output<I>, context: TaskContext): z.input<O> | Promise<z.input<O>>
}

type JsonSchema = Record<string, unknown>

export interface Task<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType>
  extends Required<Omit<TaskOptions<I, O>, 'requires'>> {
  readonly requires: Required<TaskRequirements>
  /** JSON Schema 2020-12 of what is sent and of what comes back. */
  readonly inputSchema: JsonSchema
  readonly outputSchema: JsonSchema
}

const defined = new WeakSet<object>()

/**
 * Makes a task. The options are checked here, once: SC_CONFIG names every one that is wrong.
 *
 *     export default defineTask({
 *       name: 'word-count',
 *       input: z.object({ text: z.string() }),
 *       output: z.object({ words: z.number().int() }),
 *       async run({ text }) { return { words: text.split(/\s+/).length } }
 *     })
 */
export function defineTask<I extends z.ZodType, O extends z.ZodType>(options: TaskOptions<I, O>): Task<I, O> {
  const checked = optionsSchema.safeParse(options)
  if (!checked.success) throw refusal(options, checked.error.issues.map(sentenceOf))
  const { name, description, requires, retryCrashes } = checked.data
  const { input, output, run } = options
  const inputSchema = jsonSchema(options, 'input', input)
  const outputSchema = jsonSchema(options, 'output', output)
  const task = Object.freeze({
    name,
    description,
    requires,
    retryCrashes,
    input,
    output,
    run,
    inputSchema,
    outputSchema
  })
  defined.add(task)
  return task
}

export function isTask(value: unknown): value is Task {
  return typeof value === 'object' && value !== null && defined.has(value)
}

/** What a worker says of a task that stands in `file`. */
export function describeTask(task: Task, file: string): TaskDescription {
  const { name, description, requires, retryCrashes, inputSchema, outputSchema } = task
  const { gpu, vramGb, features } = requires
  return { name, description, gpu, vramGb, features, retryCrashes, builtIn: false, inputSchema, outputSchema, file }
}

const isSchema = z.custom<z.ZodType>(value => value instanceof z.ZodType, 'expected a zod schema, like z.object({ … })')
const noOther = (what: string, known: string) => ({
  error: (issue: z.core.$ZodRawIssue): string | undefined =>
    issue.code === 'unrecognized_keys'
      ? `there is no ${what} ${(issue.keys as string[]).join(', ')}; there are ${known}`
      : undefined
})

const requirementsSchema = z
  .strictObject(
    {
      gpu: z.boolean('expected true or false').optional(),
      vramGb: z.number('expected a number of GB').nonnegative('expected 0 or more').default(0),
      features: z.array(z.string().regex(FEATURE, "expected a program's name"), 'expected a list of names').default([])
    },
    noOther('requirement', 'gpu, vramGb, features')
  )
  .refine(({ gpu, vramGb }) => gpu !== false || vramGb === 0, { path: ['gpu'], error: 'vramGb needs a GPU' })
  .transform(({ gpu, vramGb, features }) => ({ gpu: gpu ?? vramGb > 0, vramGb, features }))

const optionsSchema = z.strictObject(
  {
    name: z
      .string('expected a text')
      .regex(TASK_NAME, TASK_NAME_RULE)
      .refine(name => !name.startsWith(OWN_PREFIX), `names that begin with ${OWN_PREFIX} are taken`),
    description: z.string('expected a text').default(''),
    requires: requirementsSchema.prefault({}),
    retryCrashes: z.boolean('expected true or false').default(true),
    input: isSchema,
    output: isSchema,
    run: z.custom(value => typeof value === 'function', 'expected a function')
  },
  noOther('option', 'name, description, requires, retryCrashes, input, output, run')
)

function jsonSchema(options: { name: string }, io: 'input' | 'output', schema: z.ZodType): JsonSchema {
  let told: JsonSchema
  try {
    told = {
      ...toJsonSchema(schema, io)
    }
  } catch (error) {
    throw refusal(options, [`${io}: cannot be told as JSON Schema: ${(error as Error).message}`])
  }
  if (io === 'output') return told
  if (told.type !== undefined && told.type !== 'object') throw refusal(options, ['input: expected a z.object({ … })'])
  if (Object.hasOwn((told.properties as object | undefined) ?? {}, FILES))
    throw refusal(options, [`input: the field ${FILES} is taken by the files of the unit`])
  return told
}

export function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  return z.toJSONSchema(schema, { io, target: 'draft-2020-12', ...(io === 'input' && { override: markUnchecked }) })
}

/** Where zod changes what comes before it looks at it, the master is not to judge by the schema: see `loosen-schema.ts`. */
function markUnchecked({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodTypes; jsonSchema: JsonSchema }): void {
  const { def } = zodSchema._zod
  const isCoerced = 'coerce' in def && def.coerce === true
  const isPreprocessed = def.type === 'pipe' && def.in._zod.def.type === 'transform'
  // It takes anything, and also nothing.
  const isCaught = def.type === 'catch'
  const isTrimmed = def.checks?.some(({ _zod }) => _zod.def.check === 'overwrite') ?? false
  if (isCoerced || isPreprocessed || isCaught || isTrimmed) jsonSchema['x-unchecked'] = true
}

function sentenceOf({ path, message }: z.core.$ZodIssue): string {
  return path.length > 0 ? `${path.join('.')}: ${message}` : message
}

function refusal(options: unknown, problems: string[]): ScError {
  const name = (options as { name?: unknown } | null)?.name
  return new ScError(
    'SC_CONFIG',
    `${['defineTask', ...(typeof name === 'string' ? [name] : [])].join(' ')}: ${problems.join('; ')}`
  )
}
