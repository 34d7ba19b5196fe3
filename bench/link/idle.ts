/** A unit as `GET /api/jobs/{id}/units` has it, once it is done. */
export interface RanUnit {
  task: string
  workerId: string
  slot: string
  startedAt: string
  timingsMs: { waited: number; fetched: number; ran: number }
}

/** Between the run of a chunk and that of the next on the same slot, which was there by then. */
export interface Gap {
  /** Of the slot, in ms. */
  idleMs: number
  /** Of the first of the two. */
  ranMs: number
}

/**
 * A start is written down when its word has come to the master, the same time later for each; from there on the worker's
 * own clock says when its input was there and when its run was over.
 */
export function gapsOf(units: RanUnit[]): Gap[] {
  const bySlot = Map.groupBy(units, ({ workerId, slot }) => `${workerId} ${slot}`)
  return [...bySlot.values()].flatMap(ofSlot => {
    const runs = ofSlot.map(toRun).sort((a, b) => a.fromMs - b.fromMs)
    return runs.slice(1).flatMap((next, at) => {
      const before = runs[at]
      if (!before || next.queuedMs > before.toMs) return []
      return [{ idleMs: next.fromMs - before.toMs, ranMs: before.toMs - before.fromMs }]
    })
  })
}

function toRun({ startedAt, timingsMs: { waited, fetched, ran } }: RanUnit) {
  const startedMs = Date.parse(startedAt)
  const fromMs = startedMs + fetched
  return { queuedMs: startedMs - waited, fromMs, toMs: fromMs + ran }
}

/** Idle time of a slot as a share of what it ran. */
export function idleShare(gaps: Gap[]): number {
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)
  return sum(gaps.map(({ idleMs }) => idleMs)) / sum(gaps.map(({ ranMs }) => ranMs))
}
