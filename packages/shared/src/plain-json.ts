/**
 * What JSON would change without a word: NaN becomes null, a Map {}, undefined in a list null. Answers the first such value with
 * its path, or null; `whole` stands for the value itself. Fields that are undefined are left out, as everywhere.
 */
export function changedByJson(value: unknown, whole: string): string | null {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? null : `${whole}: half of a surrogate pair is no text`
    case 'boolean':
      return null
    case 'number':
      return Number.isFinite(value) ? null : `${whole}: ${value} is no number of JSON`
    case 'object':
      return value === null ? null : changedInside(value, whole)
    default:
      return `${whole}: JSON has no ${typeof value}`
  }
}

function changedInside(value: object, whole: string): string | null {
  if ('toJSON' in value && typeof value.toJSON === 'function') return changedByJson(value.toJSON(), whole)
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value) || value instanceof Promise) {
    const next = value instanceof Map ? 'Object.fromEntries' : 'Array.from'
    return `${whole}: JSON has no ${value.constructor.name}${value instanceof Promise ? ': await it' : `: use ${next}`}`
  }
  // Not by `entries`, which a list with holes has none of.
  if (Array.isArray(value)) return first(value.length, at => changedByJson(value[at], `${whole}.${at}`))
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  return first(entries.length, at => {
    const [key, each] = entries[at] as [string, unknown]
    return changedByJson(each, `${whole}.${key}`)
  })
}

function first(count: number, look: (at: number) => string | null): string | null {
  for (let at = 0; at < count; at++) {
    const found = look(at)
    if (found !== null) return found
  }
  return null
}
