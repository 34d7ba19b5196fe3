/**
 * Shutdown as a list: whatever was opened last is released first. `release` runs once, waits for each, and throws the
 * first error after all had their turn.
 */
export interface Releasers {
  add(name: string, release: () => unknown): void
  release(): Promise<void>
}

export function createReleasers(onStep: (name: string) => void = () => {}): Releasers {
  const steps: Array<{ name: string; release: () => unknown }> = []
  let running: Promise<void> | undefined

  async function releaseAll(): Promise<void> {
    const errors: unknown[] = []
    for (let step = steps.pop(); step; step = steps.pop()) {
      onStep(step.name)
      try {
        await step.release()
      } catch (error) {
        errors.push(new Error(`while releasing ${step.name}`, { cause: error }))
      }
    }
    if (errors.length > 0) throw errors[0]
  }

  return {
    add: (name, release) => void steps.push({ name, release }),
    release: () => (running ??= releaseAll())
  }
}
