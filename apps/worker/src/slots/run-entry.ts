/**
 * DESIGN: the units of one queue entry, while a slot runs them. Mostly that is one unit. Units that take but milliseconds
 * come many at a time: they lie in the slot's process and run one after the other, each an attempt of its own.
 *
 * They were put together because their task was short lately. Where that turns out wrong, those that have not begun
 * HAND_BACK_MS after the entry was taken go back to the master, which sends each by itself. So do all units of an entry
 * that was with another slot before: one of them may have taken that slot's worker down.
 */
import type { Entry } from '../messaging/link.ts'
import { type AttemptDeps, type Outcome, runAttempt, type StopReason } from './attempt.ts'

const HAND_BACK_MS = 300

export interface EntryRun {
  /** The unit that goes on. */
  readonly unitId: string
  /** Stops the attempts at these units; at all of them, if none are named. */
  stop(reason: StopReason, unitIds?: string[]): void
  /** Resolves when every outcome is on its way; `written` when all are in the outbox. */
  readonly ended: Promise<{ outcomes: Outcome[]; written: Promise<boolean> }>
}

export function runEntry(deps: AttemptDeps, { units, id: entry, isAgain }: Entry): EntryRun {
  const isOneOfMany = units.length > 1
  let current = units[0].unitId
  const attempts = units.map(unit => {
    const { unitId } = unit
    const stop = new AbortController()
    if (isAgain && isOneOfMany) stop.abort('returned')
    const attempt = { unitId, stop, hasBegun: false }
    const onBegin = (): void => {
      attempt.hasBegun = true
      current = unitId
    }
    const ended = runAttempt(deps, unit, { entry, isOneOfMany, signal: stop.signal, onBegin })
    return Object.assign(attempt, { ended })
  })
  const handBack = setTimeout(() => {
    for (const { hasBegun, stop } of attempts) if (!hasBegun) stop.abort('returned')
  }, HAND_BACK_MS)
  if (!isOneOfMany) clearTimeout(handBack)

  async function end(): Promise<{ outcomes: Outcome[]; written: Promise<boolean> }> {
    const all = await Promise.all(attempts.map(({ ended }) => ended))
    clearTimeout(handBack)
    const written = Promise.all(all.map(one => one.written)).then(each => each.every(Boolean))
    return { outcomes: all.map(({ outcome }) => outcome), written }
  }

  return {
    get unitId() {
      return current
    },
    stop: (reason, unitIds) => {
      for (const { unitId, stop } of attempts) if (!unitIds || unitIds.includes(unitId)) stop.abort(reason)
    },
    ended: end()
  }
}
