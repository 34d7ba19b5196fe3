import { ScError } from '@sc/shared/errors.ts'
import { CronDate, CronExpressionParser } from 'cron-parser'

/** The one file that knows cron expressions: five fields, six with seconds first, or a name as `@daily`. */
const FORM = /^(@[a-z]+|\S+( +\S+){4,5})$/
/** No clock is moved by more. */
const LARGEST_SHIFT_MS = 2 * 3_600_000

/**
 * The first time after `after` that the expression names on the clocks of its timezone. A time that is skipped in spring
 * comes an hour later that day, one that is there twice in autumn comes once. SC_BAD_REQUEST names the field.
 */
export function nextTime({ cron, timezone }: { cron: string; timezone: string }, after: Date): Date {
  if (!isTimezone(timezone))
    throw new ScError('SC_BAD_REQUEST', `timezone: "${timezone}" is no IANA timezone, as Europe/Berlin is.`)
  if (!FORM.test(cron))
    throw new ScError(
      'SC_BAD_REQUEST',
      `cron: expected five fields, six with seconds first, or a name as @daily, not "${cron}".`
    )
  try {
    // With a seed, the `H` of an expression is the same whenever it is read.
    const options = { tz: timezone, currentDate: startFor(after, timezone), hashSeed: cron }
    const times = CronExpressionParser.parse(cron, options)
    let at = times.next()
    while (at.getTime() <= after.getTime()) at = times.next()
    return at.toDate()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ScError('SC_BAD_REQUEST', `cron: "${cron}" names no time: ${why}`, { cause: error })
  }
}

/**
 * Just after the clocks were moved it goes back to before: a parser that starts there does not know that an hour was
 * skipped, or that its times came once already.
 */
function startFor(after: Date, timezone: string): Date {
  const before = new Date(after.getTime() - LARGEST_SHIFT_MS)
  const offsetAt = (at: Date): number => new CronDate(at, timezone).getUTCOffset()
  return offsetAt(before) === offsetAt(after) ? after : before
}

function isTimezone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}
