/** Each by itself: what cannot be done for one is done for all others, and the first error is thrown at the end. */
export async function eachApart<T>(items: Iterable<T>, step: (item: T) => Promise<unknown>): Promise<void> {
  const errors: unknown[] = []
  for (const item of items) await step(item).catch(error => errors.push(error))
  if (errors.length > 0) throw errors[0]
}
