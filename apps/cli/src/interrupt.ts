/** Ctrl-C: the first one aborts the signal, so that the command can tidy up; the second one ends the process at once. */
import { EXIT } from './show/failure.ts'

// SIGBREAK is Windows' Ctrl-Break; elsewhere nobody sends it.
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const

export function createInterrupt(onForce: () => void = () => process.exit(EXIT.interrupted)): AbortSignal {
  const interrupt = new AbortController()
  const onSignal = (): void => {
    if (interrupt.signal.aborted) onForce()
    else interrupt.abort()
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  return interrupt.signal
}
