import { createHash } from 'node:crypto'

/** Of what makes two requests the same: equal values, in whatever order the names of their fields came. */
export function hashOfRequest(request: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(request)))
    .digest('hex')
}

/** Objects as lists of their fields by name: an object would put names that are numbers first. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const names = Object.keys(value).sort()
  return { fields: names.map(name => [name, sorted((value as Record<string, unknown>)[name])]) }
}

/** The value with what its JSON Schema says of fields that were left out, as the task would take it. */
export function withDefaults(schema: unknown, value: unknown): unknown {
  if (!isObject(schema) || !isObject(value) || !isObject(schema.properties)) return value
  const known = Object.entries(schema.properties).flatMap(([name, property]) => {
    if (Object.hasOwn(value, name)) return [[name, withDefaults(property, value[name])]]
    return isObject(property) && property.default !== undefined ? [[name, property.default]] : []
  })
  return { ...value, ...Object.fromEntries(known) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
