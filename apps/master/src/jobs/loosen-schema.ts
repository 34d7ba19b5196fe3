import { isRecord } from '@sc/shared/is-record.ts'

/**
 * A task's input schema as the master checks by it: it refuses nothing that the task itself would take. What it leaves alone
 * the worker checks. Beside patterns and formats (`json-schema.ts`), that is
 *
 * - `x-unchecked: true`: a part that code of the task may change before it is looked at, or that has names beside those of
 *   the schema: zod's `coerce`, `preprocess`, `catch` and `trim`, pydantic's validators of mode `before`, choices of aliases;
 * - `x-lax: true` at the root: pydantic, which takes numbers, times and truth values also as texts and numbers, sets with
 *   repetitions, and of several alternatives any.
 *
 * Workers write both into their schemas: `sc_gpu/tasks/input_schema.py`, `define-task.ts`.
 */
type Schema = Record<string, unknown>

/** What may be in place of a type; checked by the keyword TAKES. */
export type Taken = 'an integer' | 'a number' | 'true or false' | 'a text or a number'
export const TAKES = 'x-takes'

const ONE = new Set(['items', 'contains', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties'])
const SOME = new Set(['allOf', 'anyOf', 'oneOf', 'prefixItems'])
const NAMED = new Set(['properties', '$defs', 'definitions', 'dependentSchemas'])
/** Of what pydantic changes before it counts: texts are stripped, sets lose their repetitions; it rounds otherwise. */
const STRICTER = ['uniqueItems', 'maxLength', 'multipleOf', 'propertyNames']

/** `schema` is not nested deeply: see `excessOfSchema`. */
export function loosen(schema: Schema): Schema {
  return loosenPart(schema, schema['x-lax'] === true)
}

function loosenPart(schema: Schema, isLax: boolean): Schema {
  const own = isUnchecked(schema) ? onlyDefinitions(schema) : schema
  const loose = Object.fromEntries(
    Object.entries(own).map(([keyword, value]) => [keyword, loosenValue(keyword, value, isLax)])
  )
  if (Array.isArray(own.required)) loose.required = own.required.filter(name => !isUnchecked(fieldOf(own, name)))
  return isLax ? laxly(loose) : loose
}

function loosenValue(keyword: string, value: unknown, isLax: boolean): unknown {
  const part = (one: unknown): unknown => (isRecord(one) ? loosenPart(one, isLax) : one)
  if (ONE.has(keyword)) return part(value)
  if (SOME.has(keyword) && Array.isArray(value)) return value.map(part)
  if (NAMED.has(keyword) && isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, part(one)]))
  return value
}

function laxly({ type, enum: values, const: only, oneOf, ...schema }: Schema): Schema {
  const rest: Schema = { ...schema }
  if (rest.uniqueItems === true) delete rest.maxItems
  for (const keyword of STRICTER) delete rest[keyword]
  if (oneOf !== undefined) rest.allOf = [...((rest.allOf as unknown[] | undefined) ?? []), { anyOf: oneOf }]
  const exact = {
    ...(type !== undefined && { type }),
    ...(values !== undefined && { enum: values }),
    ...(only !== undefined && { const: only })
  }
  const taken = takenFor(type, schema.format)
  if (taken === null) return { ...rest, ...exact }
  if (values === undefined && only === undefined) return { ...rest, [TAKES]: taken }
  return { allOf: [{ anyOf: [exact, { type: ['string', 'boolean'] }] }, rest] }
}

function takenFor(type: unknown, format: unknown): Taken | null {
  if (type === 'integer') return 'an integer'
  if (type === 'number') return 'a number'
  if (type === 'boolean') return 'true or false'
  return type === 'string' && format !== undefined ? 'a text or a number' : null
}

const TRUTHS = /^\s*(0|off|f|false|n|no|1|on|t|true|y|yes)\s*$/i

/** Whether pydantic may take it for that. */
export function takes(taken: Taken, value: unknown): boolean {
  if (typeof value === 'boolean') return true
  switch (taken) {
    case 'an integer':
      return typeof value === 'number' ? Number.isInteger(value) : typeof value === 'string' && /\d/.test(value)
    case 'a number':
      return typeof value === 'number' || (typeof value === 'string' && /\d|inf|nan/i.test(value))
    case 'true or false':
      return value === 0 || value === 1 || (typeof value === 'string' && TRUTHS.test(value))
    case 'a text or a number':
      return typeof value === 'string' || typeof value === 'number'
  }
}

function onlyDefinitions({ $defs, definitions }: Schema): Schema {
  return { ...(isRecord($defs) && { $defs }), ...(isRecord(definitions) && { definitions }) }
}

function fieldOf({ properties }: Schema, name: unknown): unknown {
  return isRecord(properties) && typeof name === 'string' && Object.hasOwn(properties, name)
    ? properties[name]
    : undefined
}

function isUnchecked(schema: unknown): boolean {
  return isRecord(schema) && schema['x-unchecked'] === true
}
