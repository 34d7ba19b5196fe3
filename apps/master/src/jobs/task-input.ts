import { VRAM_CLASSES_GB } from '@sc/shared/capability.ts'
import { FILES } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { RegisteredTask } from '../cluster/task-registry.ts'
import { toJsonb } from '../database/jsonb.ts'

/** The one file that knows ajv: the input of a task against the schema that its worker registered. */
type Task = Pick<RegisteredTask, 'name' | 'inputSchema' | 'isJob'>

const MOST_COMPILED = 500
const MOST_FIELDS_NAMED = 10
/** Of a larger input only the first bad field is looked for: half a million of them would hold up everything else. */
const ALL_FIELDS_UP_TO_CHARS = 64 * 1024
/** In place of regular expressions; see `leavePatterns`. */
const EVERYTHING = Object.assign(() => ({ test: () => true }), { code: 'everything' })
const compiled = new Map<string, ValidateFunction>()

/** SC_TASK_INPUT, which names each bad field; SC_TASK_UNFIT: the schema itself is none. */
export function checkInput(task: Task, input: unknown): Record<string, unknown> {
  const text = JSON.stringify(input)
  const validate = compile(task, text.length <= ALL_FIELDS_UP_TO_CHARS)
  const faults = validate(input) ? [] : (validate.errors ?? []).map(describe)
  if (!isObject(input)) faults.unshift('input: must be an object')
  // The local files of a unit reach its task under this name.
  else if (Object.hasOwn(input, FILES) && !task.isJob) faults.push(`${FILES}: is not known`)
  else if (toJsonb(input) !== text) faults.push('input: has text with a NUL or half a surrogate pair')
  else if (faults.length === 0) return input
  const named = [...new Set(faults)]
  const more = named.length > MOST_FIELDS_NAMED ? `; and ${named.length - MOST_FIELDS_NAMED} more` : ''
  const fields = named.slice(0, MOST_FIELDS_NAMED).join('; ')
  throw new ScError('SC_TASK_INPUT', `The input of ${task.name} is not valid. ${fields}${more}`)
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

function compile({ name, inputSchema }: Task, allErrors: boolean): ValidateFunction {
  const key = JSON.stringify([allErrors, inputSchema])
  const known = compiled.get(key)
  if (known) return known
  // One for each schema: their ids cannot meet. Schemas come from pydantic and zod and need not please the strict mode.
  const code = { regExp: EVERYTHING }
  const ajv = new Ajv2020({ strict: false, allErrors, validateSchema: false, logger: false, code })
  addFormats.default(ajv)
  leavePatterns(ajv)
  try {
    const validate = ajv.compile(inputSchema)
    if (compiled.size >= MOST_COMPILED) compiled.delete(compiled.keys().next().value as string)
    compiled.set(key, validate)
    return validate
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ScError('SC_TASK_UNFIT', `The input schema of ${name} cannot be used: ${why}`, { cause: error })
  }
}

/**
 * Patterns are left to the worker, which checks the input again: an expression of a worker's choosing may take for ever
 * for a short text, and would hold up the whole master. What names of fields are matched with counts as matched by all.
 */
function leavePatterns(ajv: Ajv2020): void {
  for (const keyword of ['pattern', 'patternProperties']) ajv.removeKeyword(keyword)
  ajv.addKeyword({
    keyword: 'patternProperties',
    code: ({ it }) => {
      // Each field counts as looked at, for `unevaluatedProperties`.
      it.props = true
    }
  })
}

function describe({ instancePath, keyword, params, message }: ErrorObject): string {
  const at = instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  const inside = (name: string): string => (at ? `${at}.${name}` : name)
  if (keyword === 'required') return `${inside(params.missingProperty)}: is missing`
  if (keyword === 'additionalProperties') return `${inside(params.additionalProperty)}: is not known`
  if (keyword === 'unevaluatedProperties') return `${inside(params.unevaluatedProperty)}: is not known`
  if (keyword === 'enum') return `${at || 'input'}: must be one of ${params.allowedValues.join(', ')}`
  return `${at || 'input'}: ${message}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
