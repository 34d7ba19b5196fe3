import type { Logger } from '@sc/shared/log.ts'
import { extendLocks, type TakenUnit } from '@sc/shared/queues.ts'

/** Three renewals fit into LOCK_MS: one may get lost. */
const RENEW_EVERY_MS = 1_500

export interface LockKeeper {
  hold(taken: TakenUnit): void
  drop(taken: TakenUnit): void
  stop(): void
}

/** Renews the locks of every unit that this worker has. A lost lock ends nothing here: the master decides whose result counts. */
export function startLockKeeper(log: Logger, onLost: (taken: TakenUnit) => void = () => {}): LockKeeper {
  const held = new Set<TakenUnit>()
  const lost = new WeakSet<TakenUnit>()
  let renewing = false

  async function renew(): Promise<void> {
    // A renewal that waits for Redis to come back is enough.
    if (renewing || held.size === 0) return
    renewing = true
    try {
      for (const taken of await extendLocks([...held])) {
        if (!lost.has(taken)) log.warn({ unitId: taken.unit.unitId }, 'The lock of the unit is lost; it runs on')
        lost.add(taken)
        onLost(taken)
      }
    } catch (error) {
      log.warn({ err: error, units: held.size }, 'Locks could not be renewed')
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
