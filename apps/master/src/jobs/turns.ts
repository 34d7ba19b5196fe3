/**
 * DESIGN: whose turn it is among plans that are under way. Planning a recording takes two cores, so only a few do so at
 * once; the others rest between two blocks of audio, with what they know in memory.
 *
 *   enter -> waiting --granted--> running --next(), others wait, its slice is over--> waiting …
 *                                   \--rest(): it waits for a result--> resting --next()--> waiting
 *   leave: from any of them
 *
 * The turn goes to the key that had the least time, and in it to the plan that had the least: two hours-long recordings
 * slow a short one down by a slice or two, whoever's it is. Who comes starts where the least served of the others is, so
 * nobody has saved up time, and nobody starves.
 */
import { ScError } from '@sc/shared/errors.ts'

export interface Turns {
  /** A plan of a key. */
  enter(keyId: string): Turn
}

export interface Turn {
  /** Before a piece of heavy work: returns when it is this plan's turn. */
  next(signal: AbortSignal): Promise<void>
  /** Nothing is done until the next turn. */
  rest(): void
  leave(): void
}

export interface TurnsOptions {
  atOnce: number
  /** No two of a key run at once. */
  oneOfKey?: boolean
  nowMs?: () => number
}

interface Plan {
  readonly key: Key
  /** What it had, in ms, from where it started. */
  hadMs: number
  /** Null: it does not run. */
  run: { sinceMs: number; slice: number } | null
  granted: PromiseWithResolvers<void> | null
}

interface Key {
  hadMs: number
  readonly plans: Set<Plan>
}

/** Shorter than a user notices, longer than the start of anything. */
const SLICE_MS = 250

export function createTurns({ atOnce, oneOfKey = false, nowMs = () => performance.now() }: TurnsOptions): Turns {
  const keys = new Map<string, Key>()
  const all = (): Plan[] => [...keys.values()].flatMap(({ plans }) => [...plans])

  function account(plan: Plan): void {
    if (!plan.run) return
    const now = nowMs()
    const tookMs = now - plan.run.sinceMs
    plan.hadMs += tookMs
    plan.key.hadMs += tookMs
    plan.run = { sinceMs: now, slice: plan.run.slice + tookMs }
  }

  function stop(plan: Plan): void {
    account(plan)
    plan.run = null
  }

  function grantNext(): void {
    while (all().filter(({ run }) => run).length < atOnce) {
      const [best] = all()
        .filter(({ granted, key }) => granted && !(oneOfKey && isBusy(key)))
        .sort((a, b) => a.key.hadMs - b.key.hadMs || a.hadMs - b.hadMs)
      if (!best) return
      best.run = { sinceMs: nowMs(), slice: 0 }
      best.granted?.resolve()
      best.granted = null
    }
  }

  async function next(plan: Plan, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    for (const one of all()) account(one)
    if (plan.run && (plan.run.slice < SLICE_MS || !all().some(({ granted }) => granted))) return
    stop(plan)
    const granted = Promise.withResolvers<void>()
    plan.granted = granted
    const onAbort = (): void => {
      plan.granted = null
      granted.reject(new ScError('SC_CANCELLED', 'Stopped while its plan waited for its turn.'))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    grantNext()
    await granted.promise.finally(() => signal.removeEventListener('abort', onAbort))
  }

  return {
    enter: keyId => {
      for (const one of all()) account(one)
      const key = keys.get(keyId) ?? { hadMs: least([...keys.values()]), plans: new Set() }
      const plan: Plan = { key, hadMs: least([...key.plans]), run: null, granted: null }
      key.plans.add(plan)
      keys.set(keyId, key)
      return {
        next: signal => next(plan, signal),
        rest: () => {
          stop(plan)
          grantNext()
        },
        leave: () => {
          stop(plan)
          key.plans.delete(plan)
          if (key.plans.size === 0 && keys.get(keyId) === key) keys.delete(keyId)
          grantNext()
        }
      }
    }
  }
}

function isBusy({ plans }: Key): boolean {
  return [...plans].some(({ run }) => run)
}

function least(among: Array<{ hadMs: number }>): number {
  return among.length === 0 ? 0 : Math.min(...among.map(({ hadMs }) => hadMs))
}
