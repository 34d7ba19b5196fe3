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

/**
 * A list of at most `most` that a worker writes. What is wrong with it is one issue: zod makes one for each element, and looks
 * at the length last, so that a list of a million zeros would cost seconds.
 */
export function boundedList<Item extends z.ZodType>(item: Item, most: number) {
  return z.unknown().transform((value, context): z.output<Item>[] => {
    const refuse = (message: string): never => {
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
    if (!Array.isArray(value) || value.length > most) return refuse(`expected a list of ${most} at most`)
    const list: z.output<Item>[] = []
    for (const one of value) {
      const parsed = item.safeParse(one)
      if (!parsed.success) return refuse(parsed.error.issues[0]?.message ?? 'expected another element')
      list.push(parsed.data)
    }
    return list
  })
}

/** The same of short texts, of which there are many. */
export function boundedTexts(most: number, mostChars: number) {
  const isText = (one: unknown): boolean => typeof one === 'string' && one.length <= mostChars
  return z.custom<string[]>(
    value => Array.isArray(value) && value.length <= most && value.every(isText),
    `expected a list of ${most} texts of ${mostChars} characters at most`
  )
}
