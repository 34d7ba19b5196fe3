/** Longer than a check of an input in a thread takes, and shorter than writing a batch. */
const GRACE_MS = 1

export interface BatchLimits<T> {
  most: number
  /** Of all in a batch together; the last one may go beyond it. */
  mostWeight: number
  weigh(item: T): number
}

/**
 * What a generator yields without waiting, together: as many as the limits allow, and hardly later than it has to wait for
 * something. Returns what the generator returns; whoever leaves early ends the generator, too.
 */
export async function* inBatches<T, R>(
  items: AsyncGenerator<T, R>,
  { most, mostWeight, weigh }: BatchLimits<T>
): AsyncGenerator<T[], R> {
  let batch: T[] = []
  let weight = 0
  let next = takeNext(items)
  try {
    for (;;) {
      const step = batch.length === 0 ? await next : await Promise.race([next, afterGrace()])
      if (step !== null && !step.done) {
        batch.push(step.value)
        weight += weigh(step.value)
        next = takeNext(items)
      }
      if (batch.length > 0 && (step === null || step.done || batch.length === most || weight >= mostWeight)) {
        yield batch
        batch = []
        weight = 0
      }
      if (step?.done) return step.value
    }
  } finally {
    await items.return?.(undefined as R)
  }
}

/** Its failure is met where it is awaited, which may be after a batch was worked on. */
function takeNext<T, R>(items: AsyncGenerator<T, R>): Promise<IteratorResult<T, R>> {
  const next = items.next()
  next.catch(() => {})
  return next
}

/** Null, once everything that can go on by itself has. */
function afterGrace(): Promise<null> {
  return new Promise(resolve => setTimeout(() => resolve(null), GRACE_MS))
}
