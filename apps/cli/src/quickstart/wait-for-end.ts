import { ScError } from '@sc/shared/errors.ts'
import { type Child, formatTail } from './child.ts'

/** Resolves on the signal; throws when a child ends by itself. */
export async function waitForEnd(children: Child[], signal: AbortSignal): Promise<void> {
  const stopped = new Promise<undefined>(resolve => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  const ended = children.map(async child => ({ child, how: await child.ended }))
  const first = await Promise.race([stopped, ...ended])
  if (!first || signal.aborted) return
  const { child, how } = first
  const reason = typeof how === 'number' ? `exit code ${how}` : how
  throw new ScError('SC_INTERNAL', `The ${child.name} ended by itself (${reason}).${formatTail(child)}`)
}

/** Does the work while all children run: one that ends by itself ends the work, with the reason. */
export async function whileRunning<T>(
  children: Child[],
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const [failed, finished] = [new AbortController(), new AbortController()]
  const watched = waitForEnd(children, AbortSignal.any([signal, finished.signal])).catch(error => failed.abort(error))
  try {
    return await work(AbortSignal.any([signal, failed.signal]))
  } catch (error) {
    throw failed.signal.aborted ? failed.signal.reason : error
  } finally {
    finished.abort()
    await watched
  }
}
