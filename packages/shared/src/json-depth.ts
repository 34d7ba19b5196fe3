/** JSON as deep as nobody means it ends whatever walks it by recursion: JSON.stringify at some 7,000 levels. */
export const MOST_JSON_DEPTH = 100

const QUOTE = '"'.charCodeAt(0)
const BACKSLASH = '\\'.charCodeAt(0)
const OPENING = new Set(['[', '{'].map(sign => sign.charCodeAt(0)))
const CLOSING = new Set([']', '}'].map(sign => sign.charCodeAt(0)))

/** Whether JSON text has objects and lists in one another beyond `most`; one pass, before anything parses it. */
export function isDeeperThan(text: string, most: number): boolean {
  return measureJson(text, most).isDeeper
}

/**
 * How many objects and lists JSON text has, up to where they are in one another beyond `mostDepth`: what parsing costs goes by
 * them more than by characters.
 */
export function measureJson(text: string, mostDepth: number): { isDeeper: boolean; lists: number } {
  let depth = 0
  let lists = 0
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at)
    if (sign === QUOTE) at = endOfString(text, at)
    else if (OPENING.has(sign)) {
      lists++
      if (++depth > mostDepth) return { isDeeper: true, lists }
    } else if (CLOSING.has(sign)) depth--
  }
  return { isDeeper: false, lists }
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
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}
