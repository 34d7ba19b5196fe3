import { ScError } from '@sc/shared/errors.ts'

/**
 * Places for plans whose units are being added: how many of them, and of one key, have inputs checked and connections of
 * PostgreSQL in use at once. Only while there is something to add: what a plan waits for may take days. The key that has the
 * fewest goes first, and in it who has waited longest.
 */
export interface PlanPlaces {
  /** Answers what gives the place back. SC_CANCELLED: `signal` fired. */
  take(keyId: string, signal: AbortSignal): Promise<() => void>
}

interface Waiting {
  keyId: string
  grant(): void
}

/** Of the connections to PostgreSQL there are ten. */
const MOST = 8
/** What they have checked at once fits into what may wait for one key; see `check-lines.ts`. */
const MOST_OF_KEY = 4

export function createPlanPlaces({ most = MOST, ofKey = MOST_OF_KEY } = {}): PlanPlaces {
  const taken = new Map<string, number>()
  const waiting = new Set<Waiting>()
  let count = 0
  const takenBy = (keyId: string): number => taken.get(keyId) ?? 0

  function grantNext(): void {
    while (count < most) {
      const [next] = [...waiting]
        .filter(({ keyId }) => takenBy(keyId) < ofKey)
        .sort((a, b) => takenBy(a.keyId) - takenBy(b.keyId))
      if (!next) return
      waiting.delete(next)
      count++
      taken.set(next.keyId, takenBy(next.keyId) + 1)
      next.grant()
    }
  }

  function free(keyId: string): void {
    count--
    const left = takenBy(keyId) - 1
    if (left > 0) taken.set(keyId, left)
    else taken.delete(keyId)
    grantNext()
  }

  return {
    take: async (keyId, signal) => {
      signal.throwIfAborted()
      const granted = Promise.withResolvers<void>()
      const one = { keyId, grant: granted.resolve }
      const onAbort = (): void => {
        // Granted already: the plan finds the signal itself.
        if (waiting.delete(one))
          granted.reject(new ScError('SC_CANCELLED', 'Stopped while its plan waited for a place.'))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      waiting.add(one)
      grantNext()
      await granted.promise.finally(() => signal.removeEventListener('abort', onAbort))
      return () => free(keyId)
    }
  }
}
