/** At most two a second for each unit. */
const EVERY_MS = 500

export interface Progress {
  add(fraction: number, partial: unknown): void
  stop(): void
}

/** Thins out progress: the first at once, then the latest every EVERY_MS. What is held at `stop` is dropped: the outcome follows. */
export function createProgress(send: (fraction: number, partial: unknown) => void): Progress {
  let held: { fraction: number; partial: unknown } | undefined
  let timer: NodeJS.Timeout | undefined

  function sendHeld(): void {
    timer = undefined
    if (!held) return
    send(held.fraction, held.partial)
    held = undefined
    timer = setTimeout(sendHeld, EVERY_MS)
  }

  return {
    add: (fraction, partial) => {
      held = { fraction: Math.min(1, Math.max(0, fraction)), partial: partial ?? held?.partial }
      if (!timer) sendHeld()
    },
    stop: () => {
      clearTimeout(timer)
      held = undefined
    }
  }
}
