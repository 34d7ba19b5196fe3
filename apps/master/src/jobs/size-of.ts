/** Of a value that is no text: PostgreSQL takes longer for many short ones than for as many characters of text. */
const VALUE_SIZE = 10

/** About how many characters of JSON a value has, counted up to `most`; each value in it counts for several. */
export function sizeOf(value: unknown, most: number): number {
  if (typeof value === 'string') return VALUE_SIZE + value.length
  if (typeof value !== 'object' || value === null) return VALUE_SIZE
  let size = VALUE_SIZE
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && size < most; at++) size += sizeOf(value[at], most - size)
    return size
  }
  for (const key in value) {
    if (size >= most) break
    size += key.length + sizeOf((value as Record<string, unknown>)[key], most - size)
  }
  return size
}
