import { giveBack, type TakenEntry, takeNext, wakeNext } from '@sc/shared/queues.ts'
import type { Holds } from './holds.ts'
import type { ServedQueues } from './served-queues.ts'
import type { UnitWait } from './unit-wait.ts'

export interface TakeDeps {
  id: string
  queues: ServedQueues
  /** Says who holds a lock; new for each slot of each worker process. */
  lockOwner: string
  wait: UnitWait
}

/** Takes a slot's next entry: answers undefined after a wait without one, and at once when the slot is held. */
export function createTake(
  { id, queues, lockOwner, wait }: TakeDeps,
  holds: Holds
): () => Promise<TakenEntry | undefined> {
  let count = 0

  async function takeNow(): Promise<TakenEntry | undefined> {
    const taken = await takeNext(queues.open, `${lockOwner}-${id}-${count++}`)
    if (!taken) return undefined
    if (!holds.signal.aborted) return taken
    await giveBack(taken)
    return undefined
  }

  return async () => {
    const first = await takeNow()
    if (first) return first
    const { signal } = holds
    const marked = await wait.next(queues.open, signal)
    if (!marked) return undefined
    const taken = signal.aborted ? undefined : await takeNow()
    // The marker belongs to a queue that this slot now leaves alone: another slot is to look.
    if (signal.aborted || (taken && taken.queue !== marked)) await wakeNext(marked)
    return taken
  }
}
