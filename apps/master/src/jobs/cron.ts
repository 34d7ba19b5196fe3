import { ScError } from '@sc/shared/errors.ts'
import { CronDate, type CronExpression, CronExpressionParser } from 'cron-parser'

/** The one file that knows cron expressions: five fields, six with seconds first, or a name as `@daily`. */
const FORM = /^(@[a-z]+|\S+( +\S+){4,5})$/
/** No clock is moved by more. */
const LARGEST_SHIFT_MS = 2 * 3_600_000
/** The longest way from one 29 February to the next. Each year that is looked through costs 0.5 to 2 ms. */
const MOST_DAYS_AHEAD = 8 * 366
/** Times that are passed over after the clocks were moved, 15 µs each: one a minute, and some to spare. */
const MOST_PASSED_OVER = 500

/**
 * The first time after `after` that the expression names on the clocks of its timezone. A time that is skipped in spring
 * comes an hour later that day, one that is there twice in autumn comes once, but for what runs more than some times a
 * minute. SC_BAD_REQUEST names the field; SC_SCHEDULE_NEVER: there is no such time in the next eight years.
 */
export function nextTime({ cron, timezone }: { cron: string; timezone: string }, after: Date): Date {
  if (!isTimezone(timezone))
    throw new ScError('SC_BAD_REQUEST', `timezone: "${timezone}" is no IANA timezone, as Europe/Berlin is.`)
  if (!FORM.test(cron))
    throw new ScError(
      'SC_BAD_REQUEST',
      `cron: expected five fields, six with seconds first, or a name as @daily, not "${cron}".`
    )
  const timesFrom = (currentDate: Date): CronExpression => parse(cron, timezone, currentDate)
  const times = timesFrom(startFor(after, timezone))
  try {
    for (let passed = 0; passed < MOST_PASSED_OVER; passed++) {
      const at = times.next().toDate()
      if (at > after) return at
    }
    return timesFrom(after).next().toDate()
  } catch (cause) {
    const detail = `cron: "${cron}" names no time in the next eight years. Is there a month that has the day?`
    throw new ScError('SC_SCHEDULE_NEVER', detail, { cause })
  }
}

function parse(cron: string, tz: string, currentDate: Date): CronExpression {
  const endDate = new Date(currentDate.getTime() + MOST_DAYS_AHEAD * 24 * 3_600_000)
  try {
    // With a seed, the `H` of an expression is the same whenever it is read.
    return CronExpressionParser.parse(cron, { tz, currentDate, endDate, hashSeed: cron })
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
