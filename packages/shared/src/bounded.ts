import { z } from 'zod'

/**
 * Numbers that a worker writes. One beyond the bounds is taken for the nearest within, so that what is made of it (sums,
 * means, intervals, columns) is a number as well; refusing it would hide the machine, or lose a unit's outcome. The same
 * schemas shape what the API answers, so that rows from before these bounds are within them, too.
 */
export const bounded = (least: number, most: number) => z.number().overwrite(value => clamp(value, least, most))

export const boundedInt = (least: number, most: number) =>
  z
    .number()
    .overwrite(value => clamp(Math.round(value), least, most))
    .int()

/** With three decimals: the smallest numbers there are cannot be divided in PostgreSQL. */
export const boundedMs = (most: number) => bounded(0, most).overwrite(value => Math.round(value * 1000) / 1000)

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}
