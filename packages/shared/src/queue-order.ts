/**
 * The order of a queue of units as BullMQ counts it: lower goes first, 0 (no priority) before every number.
 *
 * A job's priority (0 … 100, higher first) is a band of BAND numbers; within its band a unit goes by its rank, modulo
 * BAND. Only the few units that go next are in Redis, so their ranks are close together: where they wrap around, a few of
 * them are out of order once.
 */
const HIGHEST_PRIORITY = 100
const BAND = 20_000

/** BullMQ's number, 1 to 2 020 000 (it takes up to 2 097 151). */
export function queuePriority(priority: number, rank: number): number {
  return (HIGHEST_PRIORITY - priority) * BAND + (Math.floor(rank) % BAND) + 1
}

/** Which band a number is in, the first being -1 for 0: lower goes first. */
export function bandOf(number: number): number {
  return Math.floor((number - 1) / BAND)
}
