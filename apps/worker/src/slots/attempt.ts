import { randomUUID } from 'node:crypto'
import { ScError, toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { OutboxMessage, Timings, UnitPayload } from '@sc/shared/unit.ts'
import type { UnitFiles } from '../inputs/unit-files.ts'
import type { Outbox } from '../report/outbox.ts'
import { createProgress } from '../report/progress.ts'
import type { RunTask } from './run-task.ts'

/** Why an attempt is stopped from outside: the master no longer wants it, or this worker is going. */
export type StopReason = 'cancelled' | 'returned'

export interface AttemptDeps {
  slotId: string
  outbox: Outbox
  fetchFiles(unit: UnitPayload, signal: AbortSignal): Promise<UnitFiles>
  runTask: RunTask
  log: Logger
}

export type Outcome = Extract<OutboxMessage, { type: 'result' | 'error' | 'returned' }>

/**
 * One try at a unit: says that it started, fetches its files, runs its task, and says what came of it. Resolves when that
 * is in the outbox, with `written` false when Redis stayed away until the end. The one place where a throw becomes an
 * outcome. `signal` carries a StopReason.
 */
export async function runAttempt(
  deps: AttemptDeps,
  unit: UnitPayload,
  signal: AbortSignal
): Promise<{ outcome: Outcome; written: boolean }> {
  const { slotId, outbox, runTask } = deps
  const about = { unitId: unit.unitId, attemptId: randomUUID() }
  // `waited` is the master's to fill in: nothing here may compare the clocks of two machines.
  const timings: Timings = { waited: 0, fetched: 0, ran: 0, reported: 0 }
  const lap = createLaps()
  const reported = stopwatch(outbox.add({ type: 'started', ...about, slot: slotId, waitedMs: 0 }))
  const progress = createProgress(
    (fraction, partial) =>
      void outbox.add({ type: 'progress', ...about, fraction, ...(partial === undefined ? {} : { partial }) })
  )
  let files: UnitFiles | undefined
  let outcome: Outcome
  try {
    files = await deps.fetchFiles(unit, signal)
    timings.fetched = lap()
    const output = await runTask(unit, files.paths, {
      signal,
      onProgress: progress.add,
      onLog: (level, message, fields) =>
        void outbox.add({ type: 'log', ...about, level, message, ...(fields ? { fields } : {}) })
    })
    outcome = { type: 'result', ...about, slot: slotId, output, timings }
  } catch (thrown) {
    const error = outcomeError(thrown, signal)
    outcome = error
      ? { type: 'error', ...about, slot: slotId, error: error.toReport(), retryable: error.retryable, timings }
      : { type: 'returned', ...about, slot: slotId }
  } finally {
    files?.release()
    progress.stop()
  }
  timings.ran = lap()
  timings.reported = reported()
  const written = await outbox.add(outcome)
  return { outcome, written }
}

/** The first that holds: given back, cancelled, what was thrown. Null: given back. */
function outcomeError(thrown: unknown, signal: AbortSignal): ScError | null {
  if (!signal.aborted) return toScError(thrown)
  return signal.reason === 'returned' ? null : new ScError('SC_CANCELLED', 'The unit was cancelled while it ran.')
}

/** Whole milliseconds that something took, or has taken so far: here, a word to be in Redis. */
function stopwatch(task: Promise<unknown>): () => number {
  const startMs = performance.now()
  let endMs: number | undefined
  void task.then(() => {
    endMs = performance.now()
  })
  return () => Math.round((endMs ?? performance.now()) - startMs)
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
