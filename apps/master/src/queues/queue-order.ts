/**
 * The order of units in a queue as one number, BullMQ's priority: the lowest is taken first. Each priority has a band of
 * BAND_SIZE numbers, within which the rank decides. Queues are compared by band alone: of two queues whose heads have the
 * same priority, the more demanding one goes first, whatever their ranks.
 */
const MAX_PRIORITY = 100
/** 101 bands of it stay below 2^21, the most that BullMQ takes. */
const BAND_SIZE = 20_000
/** Ranks of different laps do not compare: of one priority only one lap is in Redis at a time. */
export const RANKS_PER_LAP = BAND_SIZE

/** `priority` 0 to 100, the highest first; `rank` from 0, the lowest first, modulo RANKS_PER_LAP. */
export function queuePriority(priority: number, rank: number): number {
  const band = MAX_PRIORITY - Math.min(MAX_PRIORITY, Math.max(0, Math.round(priority)))
  return band * BAND_SIZE + 1 + (Math.floor(rank) % BAND_SIZE)
}

/** 0 (priority 100, and units without one) to 100 (priority 0). */
export function bandOf(queuePriority: number): number {
  return Math.max(0, Math.floor((queuePriority - 1) / BAND_SIZE))
}
