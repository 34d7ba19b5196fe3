import type { JsonMeasure } from './json-depth.ts'

/**
 * Of what a task answers: each of these costs the master more than its characters. 12 MB of numbers are 4 million, objects of
 * the same names are cheap.
 */
export const MOST_OUTPUT_LISTS = 500_000
export const MOST_OUTPUT_VALUES = 5_000_000
export const MOST_OUTPUT_SHAPES = 100_000
/** A message has some around it; an entry of many messages, too. */
const AROUND = 10_000

/** What JSON text has too much of, in words; null: nothing. `isMessage`: with what is around a task's answer. */
export function excessOfJson(
  { lists, values, shapes }: JsonMeasure,
  { isMessage }: { isMessage: boolean }
): string | null {
  const more = isMessage ? AROUND : 0
  if (lists > MOST_OUTPUT_LISTS + more) return `has more than ${MOST_OUTPUT_LISTS} objects and lists`
  if (values > MOST_OUTPUT_VALUES + more) return `has more than ${MOST_OUTPUT_VALUES} values`
  if (shapes > MOST_OUTPUT_SHAPES + more)
    return `has more than ${MOST_OUTPUT_SHAPES} different names of fields, each counted anew after other names`
  return null
}
