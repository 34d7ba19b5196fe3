import { ScError } from './errors.ts'
import { pause } from './pause.ts'

const LIMIT_MS = 3_000
const asked = new Map<string, Promise<unknown>>()

/**
 * A question to the disk of `folder`, which may be one of the network that is away: it then waits for ever, and holds one of
 * this process's four threads for files. So each question is asked once at a time; who asks it again meanwhile waits for
 * the same answer. SC_UNAVAILABLE: none came in time.
 */
export async function askDisk<T>(
  what: string,
  folder: string,
  ask: () => Promise<T>,
  limitMs: number = LIMIT_MS
): Promise<T> {
  const name = `${what} ${folder}`
  const waiting = asked.get(name) as Promise<T> | undefined
  const answer = waiting ?? ask().finally(() => asked.delete(name))
  if (!waiting) asked.set(name, answer)
  const answered = new AbortController()
  const late = pause(limitMs, answered.signal).then((): never => {
    throw new ScError('SC_UNAVAILABLE', `The disk of ${folder} did not answer within ${limitMs / 1000} s.`)
  })
  late.catch(() => {})
  try {
    return await Promise.race([answer, late])
  } finally {
    answered.abort()
  }
}
