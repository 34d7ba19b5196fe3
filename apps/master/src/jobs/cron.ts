import { ScError } from '@sc/shared/errors.ts'
import { CronDate, CronExpressionParser } from 'cron-parser'

/** The one file that knows cron expressions: five fields, six with seconds first, or a name as `@daily`. */
const FORM = /^(@[a-z]+|\S+( +\S+){4,5})$/
/** Names of what goes on hour by hour. */
const HOURLY = ['@hourly', '@minutely', '@secondly']
/** No clock was ever moved by more: Samoa left out a day. */
const LARGEST_SHIFT_MS = 25 * 3_600_000
/** The longest way from one 29 February to the next. Each year that is looked through costs 0.5 to 2 ms. */
const MOST_DAYS_AHEAD = 8 * 366
/**
 * The first time after `after` that the expression names on the clocks of its timezone. A time that the clocks leave out in
 * spring comes later that day, by as much as they are moved: mostly an hour. One that they show twice in autumn comes at the
 * first. What has `*` for its hour goes on through both. SC_BAD_REQUEST names the field; SC_SCHEDULE_NEVER: there is no
 * such time in the next eight years.
 */
export function nextTime({ cron, timezone }: { cron: string; timezone: string }, after: Date): Date {
  if (!isTimezone(timezone))
    throw new ScError('SC_BAD_REQUEST', `timezone: "${timezone}" is no IANA timezone, as Europe/Berlin is.`)
  if (!FORM.test(cron))
    throw new ScError(
      'SC_BAD_REQUEST',
      `cron: expected five fields, six with seconds first, or a name as @daily, not "${cron}".`
    )
  const clock: Clock = { shownFrom: shownMs => readTimes(cron, shownMs), offsetAt: createOffsets(timezone) }
  try {
    return new Date(isHourly(cron) ? nextAsTimeGoes(clock, after.getTime()) : nextOnTheClock(clock, after.getTime()))
  } catch (error) {
    if (error instanceof ScError) throw error
    const detail = `cron: "${cron}" names no time in the next eight years. Is there a month that has the day?`
    throw new ScError('SC_SCHEDULE_NEVER', detail, { cause: error })
  }
}

/** Times as clocks show them are written as if they were of UTC, which no clock is moved in. All in ms. */
interface Clock {
  /** The times that the expression names, from behind this one on. */
  shownFrom(shownMs: number): { next(): number }
  /** How far the clocks are ahead of UTC. */
  offsetAt(atMs: number): number
}

/**
 * Each time that is shown counts once. Where clocks are moved it jumps: looking at each second of an hour that is left out, or
 * shown again, would take as long as it lasts.
 */
function nextOnTheClock(clock: Clock, afterMs: number): number {
  const { shownFrom, offsetAt } = clock
  const offset = offsetAt(afterMs)
  const before = offsetAt(afterMs - LARGEST_SHIFT_MS)
  if (before === offset) return firstOnTheClock(clock, afterMs + offset)
  const movedMs = firstChange(offsetAt, afterMs - LARGEST_SHIFT_MS, afterMs) as number
  // What was shown before they were moved back does not count again.
  const next = firstOnTheClock(clock, Math.max(afterMs + offset, movedMs + before - 1))
  if (before > offset) return next
  // What they left out lately may be still to come.
  const shownMs = shownFrom(afterMs + before).next()
  return shownMs < movedMs + offset ? Math.min(next, shownMs - before) : next
}

/** Of the times that the expression names behind `fromShownMs`, which clocks have not shown yet. */
function firstOnTheClock({ shownFrom, offsetAt }: Clock, fromShownMs: number): number {
  const shownMs = shownFrom(fromShownMs).next()
  const found = firstAt(offsetAt, shownMs)
  if (!found.isLeftOut) return found.atMs
  // What is shown later may come before it; of what is left out the first comes first.
  const movedMs = firstChange(offsetAt, shownMs - LARGEST_SHIFT_MS, found.atMs) as number
  const { atMs } = firstAt(offsetAt, shownFrom(movedMs + offsetAt(movedMs) - 1).next())
  return Math.min(found.atMs, atMs)
}

/** Whenever a time is shown it counts. Only where clocks are moved soon can one come again that was before `afterMs`. */
function nextAsTimeGoes({ shownFrom, offsetAt }: Clock, afterMs: number): number {
  for (let fromMs = afterMs; ; ) {
    const offset = offsetAt(fromMs)
    // What is shown at the moment at which they are moved counts, too.
    const times = shownFrom(fromMs + offset - (fromMs === afterMs ? 0 : 1))
    const movedMs = firstChange(offsetAt, fromMs, fromMs + LARGEST_SHIFT_MS)
    for (let shownMs = times.next(); ; shownMs = times.next()) {
      const atMs = shownMs - offset
      if (atMs < (movedMs ?? fromMs + LARGEST_SHIFT_MS)) return atMs
      if (movedMs !== null) break
      const later = firstAt(offsetAt, shownMs)
      if (!later.isLeftOut) return later.atMs
    }
    fromMs = movedMs as number
  }
}

/** When clocks first show this, or would if they left nothing out. */
function firstAt(offsetAt: Clock['offsetAt'], shownMs: number): { atMs: number; isLeftOut: boolean } {
  const before = offsetAt(shownMs - LARGEST_SHIFT_MS)
  const offsets = [before, offsetAt(shownMs + LARGEST_SHIFT_MS)]
  const shown = offsets.map(offset => shownMs - offset).filter((atMs, at) => offsetAt(atMs) === offsets[at])
  return shown.length > 0 ? { atMs: Math.min(...shown), isLeftOut: false } : { atMs: shownMs - before, isLeftOut: true }
}

/** The first time behind `fromMs`, `toMs` at the latest, at which the clocks have been moved; null: they are not. */
function firstChange(offsetAt: Clock['offsetAt'], fromMs: number, toMs: number): number | null {
  const offset = offsetAt(fromMs)
  if (offsetAt(toMs) === offset) return null
  let [low, high] = [fromMs, toMs]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetAt(middle) === offset) low = middle
    else high = middle
  }
  return high
}

function isHourly(cron: string): boolean {
  const fields = cron.split(/ +/)
  const hour = fields.length === 6 ? fields[2] : fields[1]
  return HOURLY.includes(cron) || hour === '*' || hour === '*/1'
}

function readTimes(cron: string, shownMs: number): { next(): number } {
  const currentDate = new Date(shownMs)
  const endDate = new Date(shownMs + MOST_DAYS_AHEAD * 24 * 3_600_000)
  try {
    // With a seed, the `H` of an expression is the same whenever it is read.
    const times = CronExpressionParser.parse(cron, { tz: 'UTC', currentDate, endDate, hashSeed: cron })
    return { next: () => times.next().getTime() }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ScError('SC_BAD_REQUEST', `cron: "${cron}" names no time: ${why}`, { cause: error })
  }
}

function createOffsets(timezone: string): Clock['offsetAt'] {
  const known = new Map<number, number>()
  return atMs => {
    const offset = known.get(atMs) ?? new CronDate(new Date(atMs), timezone).getUTCOffset() * 60_000
    known.set(atMs, offset)
    return offset
  }
}

function isTimezone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}
