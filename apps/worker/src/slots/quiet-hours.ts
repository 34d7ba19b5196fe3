import { ScError } from '@sc/shared/errors.ts'
import type { SlotSet } from './slot-set.ts'

const LOOK_EVERY_MS = 1_000

/** Part of a day in minutes after midnight, by the clock of this machine; `to` before `from` crosses midnight. */
export interface QuietHours {
  from: number
  to: number
}

/** `22:00-07:30`, several separated by commas. SC_CONFIG when it is anything else. */
export function parseQuietHours(text: string): QuietHours[] {
  return text.split(',').map(part => {
    const [, from, to] = /^\s*(\S+)\s*-\s*(\S+)\s*$/.exec(part) ?? []
    const hours = { from: minutesOf(from), to: minutesOf(to) }
    if (hours.from >= 0 && hours.to >= 0 && hours.from !== hours.to) return hours
    throw new ScError('SC_CONFIG', `--quiet-hours ${text}: '${part.trim()}' is not a time of day like 22:00-07:30.`)
  })
}

/** Why it is quiet at `now`, in words with the end; null: it is not. */
export function quietReason(hours: QuietHours[], now: Date): string | null {
  const minute = now.getHours() * 60 + now.getMinutes()
  const quiet = hours.find(({ from, to }) =>
    from < to ? minute >= from && minute < to : minute >= from || minute < to
  )
  return quiet ? `quiet hours until ${clock(quiet.to)}` : null
}

/** Holds the slots while `reason` gives one; answers how to stop looking. */
export function followQuietHours(reason: () => string | null, slots: SlotSet): () => void {
  let now: string | null = null
  const look = (): void => {
    const next = reason()
    if (next === now) return
    now = next
    if (now === null) slots.free('quiet')
    else slots.hold('quiet', now)
  }
  look()
  const timer = setInterval(look, LOOK_EVERY_MS)
  return () => clearInterval(timer)
}

function minutesOf(time: string | undefined): number {
  const [, hour, minute] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(time ?? '') ?? []
  return hour === undefined ? -1 : Number(hour) * 60 + Number(minute)
}

function clock(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
}
