/** Looks again and again until something is there, the child that should bring it has ended, or time is up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ScError } from '@sc/shared/errors.ts'
import { type Child, formatTail, tailOf } from './child.ts'

const LOOK_EVERY_MS = 150
/** The first start of a master makes a database; on a slow disk that takes a while. */
const PATIENCE_MS = 180_000

export interface WaitOptions {
  /** Absent: it was started by somebody else. */
  child: Child | undefined
  signal: AbortSignal
  onDetail(text: string): void
}

/** `look` answers undefined while it is not there yet. `what` completes "while waiting until …". */
export async function waitFor<T>(what: string, look: () => Promise<T | undefined>, options: WaitOptions): Promise<T> {
  const { child, signal, onDetail } = options
  const untilMs = performance.now() + PATIENCE_MS
  while (performance.now() < untilMs) {
    signal.throwIfAborted()
    const found = await look()
    if (found !== undefined) return found
    if (child && !child.isRunning()) throw await endedTooEarly(child, what)
    if (child) onDetail(tailOf(child.logPath, 1)[0] ?? '')
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
  throw new ScError('SC_UNAVAILABLE', `Waited ${PATIENCE_MS / 1000} s until ${what}.${child ? formatTail(child) : ''}`)
}

async function endedTooEarly(child: Child, what: string): Promise<ScError> {
  const how = await child.ended
  const reason = typeof how === 'number' ? `exit code ${how}` : how
  // The child has named what is wrong with the settings: this command ends the same way.
  const code = how === 2 ? 'SC_CONFIG' : 'SC_INTERNAL'
  return new ScError(code, `The ${child.name} ended (${reason}) while waiting until ${what}.${formatTail(child)}`)
}
