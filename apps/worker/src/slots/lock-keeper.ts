import type { Logger } from '@sc/shared/log.ts'
import { extendLocks, type TakenEntry } from '@sc/shared/queues.ts'

/** Three renewals fit into LOCK_MS: one may get lost. */
const RENEW_EVERY_MS = 1_500

export interface LockKeeper {
  hold(taken: TakenEntry): void
  drop(taken: TakenEntry): void
  stop(): void
}

/** Renews the locks of every entry that this worker has. A lost lock ends nothing here: the master decides whose result counts. */
export function startLockKeeper(log: Logger, onLost: (taken: TakenEntry) => void = () => {}): LockKeeper {
  const held = new Set<TakenEntry>()
  const lost = new WeakSet<TakenEntry>()
  let renewing = false

  async function renew(): Promise<void> {
    // A renewal that waits for Redis to come back is enough.
    if (renewing || held.size === 0) return
    renewing = true
    try {
      for (const taken of await extendLocks([...held])) {
        if (!lost.has(taken)) log.warn({ entry: taken.jobId }, 'The lock of the units is lost; they run on')
        lost.add(taken)
        onLost(taken)
      }
    } catch (error) {
      log.warn({ err: error, entries: held.size }, 'Locks could not be renewed')
    } finally {
      renewing = false
    }
  }

  const timer = setInterval(() => void renew(), RENEW_EVERY_MS)
  return {
    hold: taken => void held.add(taken),
    drop: taken => void held.delete(taken),
    stop: () => clearInterval(timer)
  }
}
