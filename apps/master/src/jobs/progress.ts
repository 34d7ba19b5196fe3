import { hasResult, type JobStatus } from '../database/schema.ts'

export interface UnitCounts {
  total: number
  done: number
  running: number
  failed: number
}

/** Seconds are seconds of the job's length (of audio), unless they run by the clock. */
export interface JobFigures {
  status: JobStatus
  /** True when every unit is known. */
  planned: boolean
  /** The most progress that was shown. */
  shown: number
  durationSeconds: number | null
  /** By the clock of PostgreSQL, since the first unit started. */
  runningForSeconds: number | null
  units: UnitCounts
  secondsTotal: number
  /** Done or failed for good. */
  secondsSettled: number
  /** Done by an attempt of this job, not taken over from an earlier one. */
  secondsWorked: number
  /** Done of the units that run. */
  secondsRunning: number
  /** The fractions of the units that run, added up. */
  fractionsRunning: number
}

/** Merging comes after the last unit: an open job is never quite done. */
const MOST_WHILE_OPEN = 0.99
/** Before that, a speed would be a guess. */
const LEAST_WORKED_SECONDS = 5

/** 0 to 1 in thousandths. Never below what was shown before: a lost attempt or a lying file header takes nothing back. */
export function progressOf(figures: JobFigures): number {
  const { status, shown } = figures
  if (hasResult(status)) return 1
  if (status === 'FAILED' || status === 'CANCELLED') return round(shown)
  return round(Math.max(shown, Math.min(measured(figures), MOST_WHILE_OPEN)))
}

function measured({ planned, units, durationSeconds, ...figures }: JobFigures): number {
  const { secondsTotal, secondsSettled, secondsRunning } = figures
  const wholeSeconds = wholeSecondsOf({ planned, durationSeconds, secondsTotal })
  if (wholeSeconds > 0) return (secondsSettled + secondsRunning) / wholeSeconds
  return planned && units.total > 0 ? (units.done + units.failed + figures.fractionsRunning) / units.total : 0
}

/** While units are still being found, the recording's length says how much there can be; 0: nothing says it. */
function wholeSecondsOf(figures: Pick<JobFigures, 'planned' | 'durationSeconds' | 'secondsTotal'>): number {
  const { planned, durationSeconds, secondsTotal } = figures
  if (planned) return secondsTotal
  return durationSeconds === null ? 0 : Math.max(durationSeconds, secondsTotal)
}

/** What is left at the speed of this job so far, by the clock; null: not running, or too early to say. */
export function etaSecondsOf(figures: JobFigures): number | null {
  const { status, runningForSeconds, secondsWorked, secondsRunning, secondsSettled } = figures
  const worked = secondsWorked + secondsRunning
  const wholeSeconds = wholeSecondsOf(figures)
  if (status !== 'RUNNING' || !runningForSeconds || worked < LEAST_WORKED_SECONDS || wholeSeconds === 0) return null
  const left = Math.max(0, wholeSeconds - secondsSettled - secondsRunning)
  return Math.ceil((left * runningForSeconds) / worked)
}

function round(progress: number): number {
  return Math.floor(progress * 1000 + 1e-3) / 1000
}
