import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import type { DataValidateFunction } from 'ajv/dist/types/index.js'
import { TAKES, type Taken, takes } from './loosen-schema.ts'

/**
 * The one file that knows ajv. It is loaded twice: in the threads of `check-pool.ts`, for any schema and any input, and
 * in the master itself, for what `plain-schema.ts` finds harmless.
 */
export interface Faults {
  /** One for each bad field, at most MOST_FIELDS_NAMED. */
  named: string[]
  more: number
}

export type Check = (input: unknown) => Faults

/** Of all schemas that are kept compiled: some 50 MB of memory. */
const MOST_COMPILED_CHARS = 1024 ** 2
const MOST_FIELDS_NAMED = 10
const MOST_FAULT_CHARS = 500
/** In place of regular expressions; see `leavePatterns`. */
const EVERYTHING = Object.assign(() => ({ test: () => true }), { code: 'everything' })
/** Those that were asked for least recently come first. */
const compiled = new Map<string, Check>()
let compiledChars = 0

/** Throws when the schema is none. `allErrors`: every bad field is looked for, not only the first. */
export function compileSchema(schema: string, allErrors: boolean): Check {
  const key = `${allErrors} ${schema}`
  const known = compiled.get(key)
  if (known) {
    compiled.delete(key)
    compiled.set(key, known)
    return known
  }
  const check = compileAnew(schema, allErrors)
  compiled.set(key, check)
  compiledChars += key.length
  for (const oldest of compiled.keys()) {
    if (compiledChars <= MOST_COMPILED_CHARS) break
    compiled.delete(oldest)
    compiledChars -= oldest.length
  }
  return check
}

function compileAnew(schema: string, allErrors: boolean): Check {
  // One for each schema: their ids cannot meet. Schemas come from pydantic and zod and need not please the strict mode.
  // What is referred to is not written out again: a few references to a large part would be megabytes of code.
  const code = { regExp: EVERYTHING }
  const messages = { logger: false, validateFormats: false } as const
  const numbers = { multipleOfPrecision: 9 } as const
  const options = {
    strict: false,
    allErrors,
    validateSchema: false,
    inlineRefs: false,
    code,
    ...messages,
    ...numbers
  } as const
  const ajv = new Ajv2020(options)
  addTakes(ajv)
  leavePatterns(ajv)
  const validate = ajv.compile(JSON.parse(schema))
  return input => faultsOf(validate, input)
}

function faultsOf(validate: ValidateFunction, input: unknown): Faults {
  const errors = validate(input) ? [] : (validate.errors ?? [])
  const all = [...new Set(errors.map(describe))]
  const named = all.slice(0, MOST_FIELDS_NAMED)
  return { named, more: all.length - named.length }
}

function addTakes(ajv: Ajv2020): void {
  ajv.addKeyword({
    keyword: TAKES,
    errors: true,
    compile: (taken: Taken) => {
      const validate: DataValidateFunction = value => {
        const isTaken = takes(taken, value)
        validate.errors = isTaken ? [] : [{ keyword: TAKES, message: `must be ${taken}`, params: {} }]
        return isTaken
      }
      return validate
    }
  })
}

/**
 * Formats are left to the worker as well: what a time or an address is, zod, pydantic and JSON Schema say differently.
 * Patterns are left to the worker, which checks the input again: an expression of a worker's choosing may take for ever
 * for a short text, and would refuse what is valid. What names of fields are matched with counts as matched by all.
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
  const whole = (): string => {
    if (keyword === 'required') return `${inside(params.missingProperty)}: is missing`
    if (keyword === 'additionalProperties') return `${inside(params.additionalProperty)}: is not known`
    if (keyword === 'unevaluatedProperties') return `${inside(params.unevaluatedProperty)}: is not known`
    if (keyword === 'enum') return `${at || 'input'}: must be one of ${params.allowedValues.slice(0, 100).join(', ')}`
    return `${at || 'input'}: ${message}`
  }
  const text = whole()
  return text.length > MOST_FAULT_CHARS ? `${text.slice(0, MOST_FAULT_CHARS)}…` : text
}
