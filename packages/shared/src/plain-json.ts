import { MOST_OUTPUT_DEPTH } from './outbox-message.ts'

/**
 * What JSON would change without a word, or PostgreSQL cannot keep: NaN becomes null, a Map or an Error {}, undefined in a list
 * null. Answers the first such value with its path, or null; `whole` stands for the value itself. Fields that are undefined are
 * left out, as everywhere.
 */
export function changedByJson(value: unknown, whole: string): string | null {
  return changed(value, whole, [])
}

/** `around`: the objects and lists that the value is in, the outermost first. */
function changed(value: unknown, whole: string, around: object[]): string | null {
  switch (typeof value) {
    case 'string':
      return faultOfText(value, whole)
    case 'boolean':
      return null
    case 'number':
      return Number.isFinite(value) ? null : `${whole}: ${value} is no number of JSON`
    case 'object':
      return value === null ? null : changedInside(value, whole, around)
    default:
      return `${whole}: JSON has no ${typeof value}`
  }
}

function changedInside(value: object, whole: string, around: object[]): string | null {
  if (around.includes(value)) return `${whole}: is what it lies in itself, and JSON has no circles`
  if (around.length >= MOST_OUTPUT_DEPTH)
    return `${whole.slice(0, 100)}…: is nested in more than ${MOST_OUTPUT_DEPTH} levels`
  around.push(value)
  const found = changedBelow(value, whole, around)
  around.pop()
  return found
}

function changedBelow(value: object, whole: string, around: object[]): string | null {
  // JSON takes the primitive that it stands for.
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return changed(value.valueOf(), whole, around)
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const isNoDate = value instanceof Date && Number.isNaN(value.getTime())
    return isNoDate ? `${whole}: the Date is none, and would be null` : changed(value.toJSON(), whole, around)
  }
  // Not by `entries`, which a list with holes has none of.
  if (Array.isArray(value)) return first(value.length, at => changed(value[at], `${whole}.${at}`, around))
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  if (!isPlain(value)) {
    const next = nextFor(value, entries.length)
    if (next !== null) return `${whole}: JSON has no ${nameOf(value)}${next}`
  }
  return first(entries.length, at => {
    const [key, each] = entries[at] as [string, unknown]
    return faultOfText(key, whole) ?? changed(each, `${whole}.${key}`, around)
  })
}

function faultOfText(text: string, whole: string): string | null {
  if (text.includes('\0')) return `${whole}: text with a NUL character cannot be stored`
  return text.isWellFormed() ? null : `${whole}: half of a surrogate pair is no text`
}

/** What to answer in place of an object whose content JSON does not see; null: its fields are its content. */
function nextFor(value: object, fields: number): string | null {
  if (value instanceof Promise) return ': await it'
  if (value instanceof Error) return ': use its message'
  if (value instanceof Map) return ': use Object.fromEntries'
  if (value instanceof ArrayBuffer) return ': use Array.from on a view of it'
  if (ArrayBuffer.isView(value) || Symbol.iterator in value) return ': use Array.from'
  // Private fields, or what only its methods tell.
  return fields === 0 ? ' without fields of its own: answer what is in it' : null
}

/** Also of another context, as `node:vm` makes them. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function nameOf(value: object): string {
  return value.constructor?.name || Object.prototype.toString.call(value).slice('[object '.length, -1)
}

function first(count: number, look: (at: number) => string | null): string | null {
  for (let at = 0; at < count; at++) {
    const found = look(at)
    if (found !== null) return found
  }
  return null
}
