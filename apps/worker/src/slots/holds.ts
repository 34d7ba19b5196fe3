/**
 * DESIGN: why a slot takes no units just now. Several may hold at once; it takes units again when none is left.
 *
 *   free --add--> held --remove of the last--> free
 *
 * - stopping: the worker was told to stop by its user. Nothing takes it back.
 * - drained: the master said `drain`; `resume` ends it.
 * - quiet: the quiet hours of the worker.
 * - reserved: of a GPU slot: its owner uses the GPU for something else.
 * What is shown is the first that holds, in this order. A new one needs its place in `slotStateSchema` of presence.
 */
const ORDER = ['stopping', 'drained', 'quiet', 'reserved'] as const
export type Hold = (typeof ORDER)[number]

export interface Holds {
  /** Aborts when the slot is held; another one from the time it is free. */
  readonly signal: AbortSignal
  /** Resolves when it is free. */
  readonly freed: Promise<void>
  /** Each one that holds, with its reason. */
  readonly reasons: ReadonlyMap<Hold, string>
  add(hold: Hold, reason: string): void
  remove(hold: Hold): void
  first(): { hold: Hold; reason: string } | null
}

export function createHolds(): Holds {
  const reasons = new Map<Hold, string>()
  let held = new AbortController()
  let freed = Promise.withResolvers<void>()
  return {
    get signal() {
      return held.signal
    },
    get freed() {
      return freed.promise
    },
    reasons,
    add: (hold, reason) => {
      reasons.set(hold, reason)
      held.abort()
    },
    remove: hold => {
      if (!reasons.delete(hold) || reasons.size > 0) return
      held = new AbortController()
      freed.resolve()
      freed = Promise.withResolvers()
    },
    first: () => {
      const hold = ORDER.find(one => reasons.has(one))
      return hold === undefined ? null : { hold, reason: reasons.get(hold) as string }
    }
  }
}
