import { VRAM_CLASSES_GB } from '@sc/shared/capability.ts'
import { FILES } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { isRecord } from '@sc/shared/is-record.ts'
import { excessOfSchema } from '@sc/shared/schema-limits.ts'
import type { RegisteredTask, TaskRegistry } from '../cluster/task-registry.ts'
import type { Asker, CheckOutcome, CheckPool } from './check-pool.ts'
import { compileSchema, type Faults } from './json-schema.ts'
import { LARGEST_IN_ROW } from './large-input.ts'
import { loosen } from './loosen-schema.ts'
import { isCheap, isPlainSchema } from './plain-schema.ts'
import { type TextFaults, TOO_MANY_DIGITS, textFaultsOf } from './text-faults.ts'

type Task = Pick<RegisteredTask, 'name' | 'inputSchema' | 'isJob'>

/**
 * The input of a task against the schema that its worker registered. SC_TASK_INPUT, which names each bad field;
 * SC_TASK_UNFIT: the schema itself is none; SC_TASK_INPUT_COSTLY: checking it takes too long.
 *
 * It comes as JSON text, and is an object again only once it is checked: while many wait, text takes the least memory. A large one
 * stays text.
 */
export type CheckInput = (task: Task, text: string, asker: Asker) => Promise<Record<string, unknown> | string>

/** The same for who needs only the text. Answers the object where one was made of it here: of small texts. */
export type CheckText = (task: Task, text: string, asker: Asker) => Promise<Record<string, unknown> | null>

interface Prepared {
  /** As JSON text. */
  schema: string
  isPlain: boolean
}

interface Checked {
  isObject: boolean
  hasFiles: boolean
  faults: Faults
  text: TextFaults
  /** Null: it was checked elsewhere. */
  input: Record<string, unknown> | null
}

/** A schema that could not be compiled in time is not tried again at once: each try takes a thread. */
const UNFIT_FOR_MS = 60_000
const MOST_UNFIT = 1_000

export function createCheckInput(...deps: Parameters<typeof createCheckText>): CheckInput {
  const checkText = createCheckText(...deps)
  return async (task, text, asker) =>
    (await checkText(task, text, asker)) ?? (text.length > LARGEST_IN_ROW ? text : JSON.parse(text))
}

export function createCheckText(pool: Pick<CheckPool, 'check'>, tasks: Pick<TaskRegistry, 'find'>): CheckText {
  const prepared = new WeakMap<object, Prepared>()
  const unfitUntil = new Map<string, number>()

  function prepare({ name, inputSchema }: Task): Prepared {
    const known = prepared.get(inputSchema)
    if (known) return known
    // A worker's registration was checked when it came; by an earlier version perhaps, and a job's never was.
    const excess = excessOfSchema(inputSchema)
    if (excess !== null) throw unfit(name, `it ${excess}`)
    const checked = loosen(inputSchema)
    const made = { schema: JSON.stringify(checked), isPlain: isPlainSchema(checked) }
    prepared.set(inputSchema, made)
    return made
  }

  async function faultsIn(task: Task, text: string, asker: Asker): Promise<Checked> {
    const { schema, isPlain } = prepare(task)
    if (isCheap(schema, isPlain, text)) return checkHere(task.name, schema, text)
    if ((unfitUntil.get(schema) ?? 0) > performance.now()) throw tooLongToCompile(task.name)
    const isThere = async (): Promise<boolean> => (await tasks.find(task.name)) !== undefined
    const outcome = await pool.check(asker, { name: task.name, isThere }, { schema, input: text, field: FILES })
    if (outcome.type === 'exceeded' && outcome.of === 'schema') {
      if (unfitUntil.size >= MOST_UNFIT) unfitUntil.clear()
      unfitUntil.set(schema, performance.now() + UNFIT_FOR_MS)
    }
    return { ...faultsOf(task.name, outcome), input: null }
  }

  return async (task, text, asker) => {
    const { isObject, hasFiles, faults: found, text: ofText, input } = await faultsIn(task, text, asker)
    if (ofText.hasTooManyDigits) throw new ScError('SC_TASK_INPUT', `The input of ${task.name} ${TOO_MANY_DIGITS}.`)
    // Its schema would say the same in other words.
    if (!isObject) throw invalid(task.name, ['input: must be an object'])
    const faults = [...found.named]
    // The local files of a unit reach its task under this name.
    if (hasFiles && !task.isJob) faults.push(`${FILES}: is not known`)
    else if (!ofText.isStorable) faults.push('input: has text with a NUL or half a surrogate pair')
    if (faults.length === 0) return input
    throw invalid(task.name, faults, found.more)
  }
}

function invalid(name: string, faults: string[], more = 0): ScError {
  const rest = more > 0 ? `; and ${more} more` : ''
  return new ScError('SC_TASK_INPUT', `The input of ${name} is not valid. ${faults.join('; ')}${rest}`)
}

function checkHere(name: string, schema: string, text: string): Checked {
  let check: ReturnType<typeof compileSchema>
  try {
    check = compileSchema(schema, true)
  } catch (error) {
    throw unfit(name, error instanceof Error ? error.message : String(error), error)
  }
  const input: unknown = JSON.parse(text)
  const faults = check(input)
  const ofText = textFaultsOf(text)
  if (!isRecord(input)) return { isObject: false, hasFiles: false, faults, text: ofText, input: null }
  return { isObject: true, hasFiles: Object.hasOwn(input, FILES), faults, text: ofText, input }
}

function faultsOf(name: string, outcome: CheckOutcome): Omit<Checked, 'input'> {
  switch (outcome.type) {
    case 'faults':
      return { isObject: outcome.isObject, hasFiles: outcome.hasField, faults: outcome.faults, text: outcome.text }
    case 'unfit':
      throw unfit(name, outcome.why)
    case 'failed':
      throw costly(name, outcome.why)
    case 'exceeded':
      throw outcome.of === 'schema' ? tooLongToCompile(name) : costly(name, 'it took too long')
  }
}

function unfit(name: string, why: string, cause?: unknown): ScError {
  return new ScError('SC_TASK_UNFIT', `The input schema of ${name} cannot be used: ${why}`, { cause })
}

function tooLongToCompile(name: string): ScError {
  return unfit(name, 'compiling it takes too long. Make it smaller')
}

function costly(name: string, why: string): ScError {
  return new ScError(
    'SC_TASK_INPUT_COSTLY',
    `The input of ${name} could not be checked against its schema: ${why}. Send less at once; in the schema, uniqueItems and references back to itself cost the most.`
  )
}

/** The queue of a task's units. SC_TASK_UNFIT: no class of workers is large enough. */
export function queueOfTask({ name, queue, requires }: Pick<RegisteredTask, 'name' | 'queue' | 'requires'>): string {
  if (queue !== null) return queue
  const largest = VRAM_CLASSES_GB.at(-1)
  throw new ScError(
    'SC_TASK_UNFIT',
    `Task ${name} asks for ${requires.vramGb} GB of GPU memory; the largest class of workers has ${largest} GB.`
  )
}
