import { endOfString } from './json-depth.ts'

/** A number in JSON text that JavaScript, and so every master, would make another of. */
export interface InexactNumber {
  /** From the outermost value: `input.ids.3`. */
  path: string
  /** As it stands there, at most SHOWN_CHARS of it. */
  number: string
}

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y
/** Whatever has fewer signs and no exponent is exact, or a fraction that is rounded everywhere. */
const EXACT_CHARS = 15
const SHOWN_CHARS = 40

/**
 * The first number of valid JSON text that would become another one: an integer beyond 2^53 that has more digits than a
 * double keeps, or what is too large or too small for one. Null: there is none. Fractions are rounded, as everywhere.
 */
export function findInexactNumber(text: string): InexactNumber | null {
  for (let at = 0; at < text.length; at++) {
    const sign = text[at] as string
    if (sign === '"') at = endOfString(text, at)
    else if (sign === '-' || isDigit(sign)) {
      NUMBER.lastIndex = at
      const number = NUMBER.exec(text)?.[0] ?? sign
      if (isInexact(number)) return { path: pathTo(text, at), number: number.slice(0, SHOWN_CHARS) }
      at += number.length - 1
    }
  }
  return null
}

/** For whoever sent it. */
export function describeInexact({ path, number }: InexactNumber): string {
  return `${path}: ${number} is no number that is kept exactly; send it as text`
}

function isDigit(sign: string): boolean {
  return sign >= '0' && sign <= '9'
}

function isInexact(number: string): boolean {
  if (number.length <= EXACT_CHARS && !/e/i.test(number)) return false
  const value = Number(number)
  if (!Number.isFinite(value)) return true
  const [mantissa = ''] = number.split(/e/i)
  if (value === 0) return /[1-9]/.test(mantissa)
  return /^-?\d+$/.test(number) && String(value) !== number
}

/** Names and places on the way from the outermost value of JSON text to this position. */
export function pathTo(text: string, position: number): string {
  const path: Array<string | number> = []
  let name = ''
  for (let at = 0; at < position; at++) {
    const sign = text[at]
    if (sign === '"') {
      const end = endOfString(text, at)
      name = text.slice(at, end + 1)
      at = end
    } else if (sign === '[') path.push(0)
    else if (sign === '{') path.push('')
    else if (sign === ']' || sign === '}') path.pop()
    else if (sign === ':') path[path.length - 1] = JSON.parse(name) as string
    else if (sign === ',' && typeof path.at(-1) === 'number') path[path.length - 1] = (path.at(-1) as number) + 1
  }
  return path.join('.')
}
