/** So long a cancelled unit may be on its way from a queue into a slot. */
const REMEMBER_MS = 3_000

export interface Cancelled {
  add(unitIds: string[]): void
  has(unitId: string): boolean
}

/** Units that were cancelled just now: a slot may have taken one before the word came, and start it after. */
export function createCancelled(): Cancelled {
  const untilMs = new Map<string, number>()
  return {
    add: unitIds => {
      const nowMs = performance.now()
      for (const [unitId, endMs] of untilMs) if (endMs < nowMs) untilMs.delete(unitId)
      for (const unitId of unitIds) untilMs.set(unitId, nowMs + REMEMBER_MS)
    },
    has: unitId => (untilMs.get(unitId) ?? 0) > performance.now()
  }
}
