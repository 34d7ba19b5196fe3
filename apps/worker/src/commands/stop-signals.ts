/** Longest time from the second signal to the end, whatever hangs. */
const FORCE_MS = 4_000

export interface StopSignals {
  /** Aborts at the first SIGINT or SIGTERM: drain. */
  first: AbortSignal
  /** Aborts at the second: give back. A third, or FORCE_MS, ends the process. */
  second: AbortSignal
  /** As two signals at once: nobody is left to wait for us. */
  now(): void
  /** 130 after Ctrl-C, else 0. */
  exitCode(): number
  unlisten(): void
}

export function listenForStop(): StopSignals {
  const first = new AbortController()
  const second = new AbortController()
  let exitCode = 0
  const onSignal = (signal: NodeJS.Signals): void => {
    exitCode = signal === 'SIGINT' ? 130 : 0
    if (second.signal.aborted) process.exit(130)
    if (first.signal.aborted) {
      second.abort()
      setTimeout(() => process.exit(130), FORCE_MS).unref()
    }
    first.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    first: first.signal,
    second: second.signal,
    now: () => {
      onSignal('SIGTERM')
      if (!second.signal.aborted) onSignal('SIGTERM')
    },
    exitCode: () => exitCode,
    unlisten: () => {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }
}
