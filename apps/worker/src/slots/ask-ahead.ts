/**
 * DESIGN: when a slot asks for its next entry while a unit still runs. An entry takes a round trip to come, and a slot that
 * asks only once it is free is idle meanwhile: over a slow link for a good part of a short unit's time.
 *
 *   |------------------- unit runs --------------------|
 *                               ^ask  ^entry comes      ^next unit begins
 *                               |<---- LEAD_TRIPS ----->|
 *                               |<-- MOST_LEADS of these: given back if it still waits -->|
 *
 * - The end is guessed: by the unit's progress; before there is any, by the mean of the task's last runs in this slot, for
 *   each second of audio where it is about audio. Of a task of which nothing is known nothing is guessed.
 * - An entry that waits here might run elsewhere. So the lead is short, and what comes too early for it goes back. Where a
 *   round trip is next to nothing, by itself or beside the unit, nothing is asked ahead.
 */
import type { RunTask } from './run-task.ts'

const LEAD_TRIPS = 8
const MOST_LEADS = 3
const LEAST_TRIP_MS = 5
/** Of the unit's time. */
const LEAST_SHARE = 0.002
/** The mean is of about so many runs. */
const REMEMBERED = 4

export interface AskAheadDeps {
  /** Between this worker and Redis, lately. */
  roundTripMs(): number
  ask(): void
  giveBack(): void
}

/** Answers a `RunTask` that runs the one it is given, and asks meanwhile. One run at a time. */
export function createAskAhead({ roundTripMs, ask, giveBack }: AskAheadDeps): (runTask: RunTask) => RunTask {
  const meansMs = new Map<string, number>()

  return runTask => async (unit, files, hooks) => {
    const startMs = performance.now()
    const tripMs = roundTripMs()
    const leadMs = LEAD_TRIPS * tripMs
    let hasAsked = false
    let timer: NodeJS.Timeout | undefined

    function askNow(): void {
      hasAsked = true
      ask()
      timer = setTimeout(giveBack, MOST_LEADS * leadMs)
    }

    function expectLength(lengthMs: number): void {
      if (hasAsked) return
      clearTimeout(timer)
      if (tripMs < LEAST_TRIP_MS || tripMs < LEAST_SHARE * lengthMs) return
      timer = setTimeout(askNow, Math.max(0, startMs + lengthMs - leadMs - performance.now()))
    }

    const { task, seconds: size = 1 } = unit
    const meanMs = meansMs.get(task)
    if (meanMs !== undefined) expectLength(meanMs * size)
    try {
      const output = await runTask(unit, files, {
        ...hooks,
        onProgress: (fraction, partial) => {
          if (fraction > 0) expectLength((performance.now() - startMs) / fraction)
          hooks.onProgress(fraction, partial)
        }
      })
      const ranMs = (performance.now() - startMs) / size
      meansMs.set(task, meanMs === undefined ? ranMs : meanMs + (ranMs - meanMs) / REMEMBERED)
      return output
    } finally {
      clearTimeout(timer)
    }
  }
}
