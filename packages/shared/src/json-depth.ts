/** JSON as deep as nobody means it ends whatever walks it by recursion: JSON.stringify at some 7,000 levels. */
export const MOST_JSON_DEPTH = 100

const [QUOTE, BACKSLASH, COMMA, COLON] = ['"', '\\', ',', ':'].map(sign => sign.charCodeAt(0)) as [
  number,
  number,
  number,
  number
]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = ['[', ']', '{', '}'].map(sign => sign.charCodeAt(0)) as [
  number,
  number,
  number,
  number
]

/** Where JSON text has objects and lists in one another beyond `most`; -1: nowhere. One pass, before anything parses it. */
export function findDeeperThan(text: string, most: number): number {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at)
    if (sign === QUOTE) at = endOfString(text, at)
    else if (sign === OPEN_LIST || sign === OPEN_OBJECT) {
      if (++depth > most) return at
    } else if (sign === CLOSE_LIST || sign === CLOSE_OBJECT) depth--
  }
  return -1
}

/** What parsing JSON text costs goes by these more than by its characters. */
export interface JsonMeasure {
  isDeeper: boolean
  /** Objects and lists. */
  lists: number
  /** All that is in it, objects and lists included; an empty one may count twice. */
  values: number
  /**
   * Different beginnings of objects, counted to MOST_COUNTED_SHAPES: a name after the same names before it is one. V8 makes a
   * hidden class for each, which takes microseconds and a kilobyte; objects of the same names in the same order share theirs.
   */
  shapes: number
}

const MOST_COUNTED_SHAPES = 200_000
/** Longer ones are few. */
const HASHED_CHARS = 64
const HASH_PRIME = 0x01000193
/** Of this process: nobody knows beforehand which names are taken for the same. */
const HASH_SEED = Math.floor(Math.random() * 2 ** 31)

/** Measures JSON text in one pass, up to where objects and lists are in one another beyond `mostDepth`. */
export function measureJson(text: string, mostDepth: number): JsonMeasure {
  let depth = 0
  let lists = 0
  let commas = 0
  let [start, end] = [0, 0]
  const shapes = new Set<number>()
  /** Of the objects and lists that are open, by their depth. */
  const open: number[] = []
  const measured = (isDeeper: boolean): JsonMeasure => {
    return { isDeeper, lists, values: 1 + commas + lists, shapes: shapes.size }
  }
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at)
    if (sign === QUOTE) {
      start = at + 1
      end = endOfString(text, at)
      at = end
    } else if (sign === COMMA) commas++
    else if (sign === COLON) {
      if (shapes.size === MOST_COUNTED_SHAPES) continue
      const shape = hashOf(text, start, Math.min(end, start + HASHED_CHARS), open[depth])
      // A small integer, which a set keeps without an object of its own.
      shapes.add(shape >>> 2)
      open[depth] = shape
    } else if (sign === OPEN_LIST || sign === OPEN_OBJECT) {
      lists++
      if (++depth > mostDepth) return measured(true)
      open[depth] = HASH_SEED
    } else if (sign === CLOSE_LIST || sign === CLOSE_OBJECT) depth--
  }
  return measured(false)
}

/** Of a name after those of which `before` is the hash. */
function hashOf(text: string, start: number, end: number, before = HASH_SEED): number {
  let hash = Math.imul(before ^ QUOTE, HASH_PRIME)
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), HASH_PRIME)
  return hash
}

/** As `JSON.stringify` writes it. */
const EXPONENT = /\de[+-]\d/
const LETTER_E = 'e'.charCodeAt(0)
const [NINE, ZERO] = ['9', '0'].map(sign => sign.charCodeAt(0)) as [number, number]

/**
 * How long JSON text becomes in PostgreSQL, which writes 1e300 with all its digits: the length of what `JSON.stringify` made,
 * and a digit for each power of ten.
 */
export function writtenLength(json: string): number {
  let length = json.length
  if (!EXPONENT.test(json)) return length
  for (let at = 0; at < json.length; at++) {
    const sign = json.charCodeAt(at)
    if (sign === QUOTE) at = endOfString(json, at)
    else if (sign === LETTER_E && isDigit(json.charCodeAt(at - 1)))
      length += Math.abs(Number.parseInt(json.slice(at + 1, at + 5), 10))
  }
  return length
}

function isDigit(sign: number): boolean {
  return sign >= ZERO && sign <= NINE
}

/** The position of the quote that closes the string that is opened at `start`. */
export function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}
