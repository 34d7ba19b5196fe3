import { isRecord } from '@sc/shared/is-record.ts'
import { TAKES } from './loosen-schema.ts'

/**
 * Schemas that need no thread: of words whose cost is at most that of comparing the input with the schema, each part of
 * the one with each part of the other. No references, no `uniqueItems`. Most tasks have such a one, and a
 * round through a thread would cost more than the check.
 */
const HARMLESS = new Set([
  ...['type', 'enum', 'const', 'required', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  ...['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'],
  ...['$schema', '$comment', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly'],
  // Never looked at by the master.
  ...['pattern', 'format', 'x-lax'],
  TAKES
])
/** Their value is a schema or a list of some. */
const OF_SCHEMAS = new Set(['items', 'additionalProperties', 'anyOf', 'allOf', 'oneOf'])

/** Of a schema: some milliseconds to compile it. */
const MOST_SCHEMA_CHARS = 4 * 1024
/** Characters of the schema times characters of the input; less than a millisecond. */
const MOST_COST = 1_000_000

export function isCheap(schema: string, isPlain: boolean, input: string): boolean {
  return isPlain && schema.length <= MOST_SCHEMA_CHARS && schema.length * input.length <= MOST_COST
}

/** `schema` is not nested deeply: see `excessOfSchema`. */
export function isPlainSchema(schema: unknown): boolean {
  if (typeof schema === 'boolean') return true
  if (typeof schema !== 'object' || schema === null) return false
  if (Array.isArray(schema)) return schema.every(isPlainSchema)
  return Object.entries(schema).every(([keyword, value]) => {
    if (HARMLESS.has(keyword)) return true
    if (OF_SCHEMAS.has(keyword)) return isPlainSchema(value)
    return keyword === 'properties' && isRecord(value) && Object.values(value).every(isPlainSchema)
  })
}
