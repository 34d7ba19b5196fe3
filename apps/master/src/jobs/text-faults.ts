import { writtenLength } from '@sc/shared/json-depth.ts'
import { storableJson } from '../database/jsonb.ts'

/** What numbers with an exponent may add: PostgreSQL keeps, and answers, all their digits. */
export const MOST_ADDED = 1024 ** 2

export const TOO_MANY_DIGITS = 'has numbers with too many digits, written without exponents'

/** What is wrong with an input that no schema says. */
export interface TextFaults {
  hasTooManyDigits: boolean
  isStorable: boolean
}

/** Of an input as `JSON.stringify` wrote it. */
export function textFaultsOf(text: string): TextFaults {
  return { hasTooManyDigits: writtenLength(text) - text.length > MOST_ADDED, isStorable: storableJson(text) === text }
}
