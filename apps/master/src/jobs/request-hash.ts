import { createHash } from 'node:crypto'
import { isRecord } from '@sc/shared/is-record.ts'

const PIECE_CHARS = 64 * 1024

/** Of what makes two requests the same: equal values, in whatever order the names of their fields came. */
export function hashOfRequest(request: unknown): string {
  const hash = createHash('sha256')
  // In pieces: a large input is not to be in memory once more, as text.
  let piece = ''
  write(request, text => {
    piece += text
    if (piece.length < PIECE_CHARS) return
    hash.update(piece)
    piece = ''
  })
  return hash.update(piece).digest('hex')
}

/** As JSON, with objects as lists of their fields by name: an object would put names that are numbers first. */
function write(value: unknown, add: (text: string) => void): void {
  if (Array.isArray(value)) {
    add('[')
    for (const [at, each] of value.entries()) {
      if (at > 0) add(',')
      write(each, add)
    }
    add(']')
  } else if (typeof value === 'object' && value !== null) {
    add('{"fields":[')
    for (const [at, name] of Object.keys(value).sort().entries()) {
      add(`${at > 0 ? ',' : ''}[${JSON.stringify(name)},`)
      write((value as Record<string, unknown>)[name], add)
      add(']')
    }
    add(']}')
  } else add(JSON.stringify(value) ?? 'null')
}

/** The value with what its JSON Schema says of fields that were left out, as the task would take it. */
export function withDefaults(schema: unknown, value: unknown): unknown {
  if (!isRecord(schema) || !isRecord(value) || !isRecord(schema.properties)) return value
  const known = Object.entries(schema.properties).flatMap(([name, property]) => {
    if (Object.hasOwn(value, name)) return [[name, withDefaults(property, value[name])]]
    return isRecord(property) && property.default !== undefined ? [[name, property.default]] : []
  })
  return { ...value, ...Object.fromEntries(known) }
}
