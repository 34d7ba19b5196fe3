/** The promise, or a rejection with the signal's reason as soon as it aborts. What was waited for goes on. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
}
