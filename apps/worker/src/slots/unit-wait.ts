import { type UnitQueue, waitForUnits, wakeNext } from '@sc/shared/queues.ts'
import type { Redis } from '@sc/shared/redis.ts'

/** A marker can get lost with a connection: look again after so long at the latest. */
export const LOOK_AGAIN_MS = 2_000

export interface UnitWait {
  /**
   * Waits until one of the queues may have a unit, LOOK_AGAIN_MS, or the abort. Answers the queue whose marker was
   * taken; after an abort that may be one of the wait before.
   */
  next(queues: UnitQueue[], signal: AbortSignal): Promise<UnitQueue | null>
}

/** One blocking read at a time over the markers of a slot's queues, on the slot's own connection. */
export function createUnitWait(blocking: Redis, lookAgainMs = LOOK_AGAIN_MS): UnitWait {
  let reading: Promise<UnitQueue | null> | undefined

  function read(queues: UnitQueue[]): Promise<UnitQueue | null> {
    reading ??= waitForUnits(blocking, queues, lookAgainMs).finally(() => {
      reading = undefined
    })
    return reading
  }

  async function next(queues: UnitQueue[], signal: AbortSignal): Promise<UnitQueue | null> {
    const marked = read(queues)
    const aborted = Promise.withResolvers<null>()
    const onAbort = (): void => {
      // The read goes on: what it takes is for another slot.
      marked.then(queue => queue && wakeNext(queue)).catch(() => {})
      aborted.resolve(null)
    }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort)
    try {
      return await Promise.race([marked, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  return { next }
}
