import { setImmediate } from 'node:timers/promises'

/**
 * Shutdown as a list: whatever was opened last is released first. `release` runs once, waits for each, and throws the
 * first error after all had their turn. What is added after it began is released at once.
 */
export interface Releasers {
  /** `endsByItself`: it has a limit of its own, so it is waited for also when `patienceMs` is over. */
  add(name: string, release: () => unknown, options?: { endsByItself?: boolean }): void
  release(): Promise<void>
}

export interface ReleaseOptions {
  /** Of all steps together, in ms; a step that hangs longer is left behind, and those after it are begun. Default: none. */
  patienceMs?: number
  /** A step was left behind. */
  onLate?(name: string): void
}

interface Step {
  name: string
  release: () => unknown
  endsByItself: boolean
}

export function createReleasers(
  onStep: (name: string) => void = () => {},
  { patienceMs, onLate = () => {} }: ReleaseOptions = {}
): Releasers {
  const steps: Step[] = []
  const errors: unknown[] = []
  const over = Promise.withResolvers<void>()
  let running: Promise<void> | undefined

  async function releaseAll(): Promise<void> {
    const timer = patienceMs === undefined ? undefined : setTimeout(() => over.resolve(), patienceMs)
    for (let step = steps.pop(); step; step = steps.pop()) await releaseOne(step)
    clearTimeout(timer)
    if (errors.length > 0) throw errors[0]
  }

  async function releaseOne({ name, release, endsByItself }: Step): Promise<void> {
    onStep(name)
    const ending = (async () => await release())().catch(
      error => void errors.push(new Error(`while releasing ${name}`, { cause: error }))
    )
    // A turn later: what needs no waiting is not late.
    const late = over.promise.then(() => setImmediate('late' as const))
    if ((await (endsByItself ? ending : Promise.race([ending, late]))) === 'late') onLate(name)
  }

  return {
    add: (name, release, { endsByItself = false } = {}) => {
      steps.push({ name, release, endsByItself })
      if (!running) return
      running = running.catch(() => {}).then(releaseAll)
      // Whoever began the release may wait for it no longer.
      running.catch(() => {})
    },
    release: () => (running ??= releaseAll())
  }
}
