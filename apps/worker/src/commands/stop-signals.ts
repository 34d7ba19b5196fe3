/** Ctrl-C, and Windows' Ctrl-Break. */
const INTERRUPTS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGBREAK']

/**
 * What asks for the end. On Windows SIGTERM cannot be sent, and SIGHUP is the closing of the window: some seconds later the
 * system ends the process. Elsewhere SIGHUP is left alone, since `nohup` is for that.
 */
export function stopSignalsOf(platform: NodeJS.Platform): { drain: NodeJS.Signals[]; now: NodeJS.Signals[] } {
  return platform === 'win32'
    ? { drain: ['SIGINT', 'SIGBREAK'], now: ['SIGHUP'] }
    : { drain: ['SIGINT', 'SIGTERM'], now: [] }
}

/** Longest time from the second signal to the end, whatever hangs. */
const FORCE_MS = 4_000

export interface StopSignals {
  /** Aborts at the first signal: drain. */
  first: AbortSignal
  /** Aborts at the second: give back. A third, or FORCE_MS, ends the process. */
  second: AbortSignal
  /** As two signals at once: nobody is left to wait for us. */
  now(): void
  /** 130 after Ctrl-C, else 0. */
  exitCode(): number
  unlisten(): void
}

export function listenForStop(platform: NodeJS.Platform = process.platform): StopSignals {
  const first = new AbortController()
  const second = new AbortController()
  let exitCode = 0
  const onSignal = (signal: NodeJS.Signals): void => {
    exitCode = INTERRUPTS.includes(signal) ? 130 : 0
    if (second.signal.aborted) process.exit(130)
    if (first.signal.aborted) {
      second.abort()
      setTimeout(() => process.exit(130), FORCE_MS).unref()
    }
    first.abort()
  }
  const now = (): void => {
    onSignal('SIGTERM')
    if (!second.signal.aborted) onSignal('SIGTERM')
  }
  const signals = stopSignalsOf(platform)
  for (const name of signals.drain) process.on(name, onSignal)
  for (const name of signals.now) process.on(name, now)
  return {
    first: first.signal,
    second: second.signal,
    now,
    exitCode: () => exitCode,
    unlisten: () => {
      for (const name of signals.drain) process.off(name, onSignal)
      for (const name of signals.now) process.off(name, now)
    }
  }
}
