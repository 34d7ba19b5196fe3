import type { Logger } from 'pino'
import { LOOK_MS } from './queues-to-look-at.ts'

/**
 * Which queue has the next round: those that were woken, then those that a look found. One round at a time, so rounds of a
 * queue follow each other; a wake during one brings another.
 */
export interface Rounds {
  wake(queues: Iterable<string>): void
  /** Those that are held now are over. */
  last(): Promise<void>
  close(): Promise<void>
}

interface RoundsDeps {
  round(queue: string): Promise<void>
  open(queue: string): void
  isServed(queue: string): boolean
  queuesToLookAt(): Promise<string[]>
  log: Logger
}

/** So long what is woken waits at most for queues that are only looked at. */
const LOOKED_AT_MS = 5
const AFTER_ERROR_MS = 500
const STOP_MS = 2_000

export function startRounds({ round, open, isServed, queuesToLookAt, log }: RoundsDeps): Rounds {
  const woken = new Set<string>()
  const behind = new Set<string>()
  let wakeUp = (): void => {}
  let last: Promise<void> = Promise.resolve()
  let looked: Promise<void> = Promise.resolve()
  let isLooking = false
  let stopping = false

  async function some(): Promise<void> {
    const names = new Set<string>()
    try {
      for (const name of [...woken].filter(isServed)) names.add(name)
      woken.clear()
      for (const name of names) {
        behind.delete(name)
        await round(name)
        names.delete(name)
      }
      // What is looked at only to be sure goes last, some at a time: there may be thousands.
      const endMs = performance.now() + LOOKED_AT_MS
      for (const name of behind) {
        behind.delete(name)
        if (!isServed(name)) continue
        names.add(name)
        open(name)
        await round(name)
        names.delete(name)
        if (woken.size > 0 || performance.now() >= endMs) break
      }
    } catch (error) {
      log.debug({ err: error }, 'sending units failed; trying again')
      const [failed, ...rest] = names
      // The one that failed goes last: it must not hold up the others.
      for (const name of [...rest, ...(failed ? [failed] : [])]) woken.add(name)
      await new Promise(resolve => setTimeout(resolve, AFTER_ERROR_MS))
    }
  }

  /** Beside the rounds: over thousands of names it takes a while. */
  async function look(): Promise<void> {
    isLooking = true
    try {
      for (const name of await queuesToLookAt()) behind.add(name)
      if (behind.size > 0) wakeUp()
    } catch (error) {
      log.debug({ err: error }, 'looking for units to send failed; trying again')
    } finally {
      isLooking = false
    }
  }

  const running = (async () => {
    while (!stopping) {
      looked = isLooking ? looked : look()
      last = some()
      await last
      if (woken.size + behind.size === 0 && !stopping) await untilWoken(LOOK_MS)
    }
    await looked
  })()

  function wake(names: Iterable<string>): void {
    for (const name of names) woken.add(name)
    if (woken.size > 0) wakeUp()
  }

  async function untilWoken(mostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    wakeUp = resolve
    const timer = setTimeout(resolve, mostMs)
    await promise
    clearTimeout(timer)
  }

  return {
    wake,
    last: () => last,
    close: async () => {
      stopping = true
      wakeUp()
      // While Redis is away a round waits for it.
      await Promise.race([running, new Promise(resolve => setTimeout(resolve, STOP_MS).unref())])
    }
  }
}
