import { randomUUID } from 'node:crypto'
import { type ErrorCode, MOST_DETAIL, ScError, toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { Timings } from '@sc/shared/unit.ts'
import type { UnitFiles } from '../inputs/unit-files.ts'
import type { GivenUnit } from '../messaging/link.ts'
import { createLogLines } from '../messaging/log-lines.ts'
import type { Outbox } from '../messaging/outbox.ts'
import { createProgress } from '../messaging/progress.ts'
import type { RunTask } from './run-task.ts'

/** An attempt among other short ones that is over by then need not say that it started. */
const SLOW_MS = 20

/** Why an attempt is stopped from outside: the master no longer wants it, or this slot gives it back. */
export type StopReason = 'cancelled' | 'returned'

export interface AttemptDeps {
  slotId: string
  outbox: Outbox
  fetchFiles(unit: GivenUnit, signal: AbortSignal): Promise<UnitFiles>
  runTask: RunTask
  log: Logger
}

export interface AttemptOptions {
  /** Id of the entry that the unit came in. */
  entry: string
  /** The entry has several units: this one waits for its turn, and takes but milliseconds. */
  isOneOfMany: boolean
  /** Carries a StopReason. */
  signal: AbortSignal
  onBegin(): void
}

export type Outcome = Extract<OutboxMessage, { type: 'result' | 'error' | 'returned' }>

/**
 * One try at a unit: reports that it started, fetches its files, runs its task, and reports what came of it. Resolves when
 * that is on its way; `written` resolves when it is in the outbox, false when Redis stayed away until the end. The one place
 * where a throw becomes an outcome.
 */
export async function runAttempt(
  deps: AttemptDeps,
  unit: GivenUnit,
  { entry, isOneOfMany, signal, onBegin }: AttemptOptions
): Promise<{ outcome: Outcome; written: Promise<boolean> }> {
  const { slotId, outbox, runTask } = deps
  const about = { unitId: unit.unitId, attemptId: randomUUID(), ticket: unit.ticket }
  const messages = { isUrgent: !isOneOfMany }
  // `waited` is the master's to fill in: nothing here may compare the clocks of two machines.
  const timings: Timings = { waited: 0, fetched: 0, ran: 0, reported: 0 }
  const lap = createLaps()
  const start = createStart(() => outbox.add({ type: 'started', ...about, slot: slotId, waitedMs: 0 }, messages))
  const progress = createProgress((fraction, partial) => {
    start.say()
    void outbox.add({ type: 'progress', ...about, fraction, ...(partial === undefined ? {} : { partial }) }, messages)
  })
  const log = createLogLines(line => void outbox.add({ type: 'log', ...about, ...line }, messages))
  let hasBegun = false
  let ranMs: number | undefined
  let files: UnitFiles | undefined
  let outcome: Outcome
  if (!isOneOfMany) start.say()
  try {
    files = await deps.fetchFiles(unit, signal)
    timings.fetched = lap()
    // A unit by itself begins with the word to its process: from here on nobody knows how far that is.
    hasBegun = !isOneOfMany
    const output = await runTask(unit, files.paths, {
      signal,
      onBegin: () => {
        // Behind the others of its entry it has but waited.
        lap()
        hasBegun = true
        start.sayIfSlow()
        onBegin()
      },
      // Results of short units are read many at once: their process alone knows how long each of them took.
      onRan: ms => {
        if (isOneOfMany && ms >= 0) ranMs = Math.round(ms)
      },
      onProgress: progress.add,
      onLog: (level, message, fields) => log.add({ level, message, ...(fields ? { fields } : {}) })
    })
    outcome = { type: 'result', ...about, slot: slotId, output, timings }
  } catch (thrown) {
    const error = hasBegun || !isOneOfMany ? outcomeError(thrown, signal, isOneOfMany) : null
    // An error is said of an attempt that is known.
    if (error) {
      start.say()
      for (const message of linesOf(error)) log.add({ level: 'error', message })
    }
    outcome = error
      ? { type: 'error', ...about, slot: slotId, error: error.toReport(), retryable: error.retryable, timings }
      : { type: 'returned', ...about, slot: slotId, entry, hasBegun }
  } finally {
    files?.release()
    progress.stop()
    log.stop()
  }
  timings.ran = ranMs ?? lap()
  timings.reported = start.reportedMs()
  return { outcome, written: outbox.add(outcome, messages) }
}

/** At most 4 bytes each: a line of a job's log has 8 KB. */
const LINES = /.{1,2000}/gsu

/** Of an error that says more than a job keeps of it, all that it says: for the log, which has bounds of its own. */
function linesOf({ message }: ScError): string[] {
  if (message.length <= MOST_DETAIL) return []
  const count = message.length.toLocaleString('en')
  return [
    `The error says ${count} characters, of which the job keeps the start and the end:`,
    ...(message.match(LINES) ?? [])
  ]
}

/** Of several units in one process: it may have been the one before, whose result was still in it, or the next. */
const NOT_SURELY_ITS_OWN = new Set<ErrorCode>(['SC_CHILD_DIED', 'SC_TASK_TIMEOUT'])

/** The first that holds: given back, cancelled, to be judged by itself, what was thrown. Null: given back. */
function outcomeError(thrown: unknown, signal: AbortSignal, isOneOfMany: boolean): ScError | null {
  if (signal.aborted)
    return signal.reason === 'returned' ? null : new ScError('SC_CANCELLED', 'The unit was cancelled while it ran.')
  const error = toScError(thrown)
  return isOneOfMany && NOT_SURELY_ITS_OWN.has(error.code) ? null : error
}

interface Start {
  say(): void
  sayIfSlow(): void
  /** Whole milliseconds that the word took to be in Redis, or has taken so far; says it no more if it was not said. */
  reportedMs(): number
}

/** Says at most once that an attempt started. */
function createStart(send: () => Promise<unknown>): Start {
  let saidMs: number | undefined
  let writtenMs: number | undefined
  let timer: NodeJS.Timeout | undefined

  function say(): void {
    if (saidMs !== undefined) return
    saidMs = performance.now()
    void send().then(() => {
      writtenMs = performance.now()
    })
  }

  return {
    say,
    sayIfSlow: () => {
      if (saidMs === undefined) timer = setTimeout(say, SLOW_MS)
    },
    reportedMs: () => {
      clearTimeout(timer)
      return saidMs === undefined ? 0 : Math.round((writtenMs ?? performance.now()) - saidMs)
    }
  }
}

/** Whole milliseconds since the last call, by this machine's own clock. */
function createLaps(): () => number {
  let atMs = performance.now()
  return () => {
    const sinceMs = performance.now() - atMs
    atMs += sinceMs
    return Math.round(sinceMs)
  }
}
