import { ScError } from '@sc/shared/errors.ts'

/** Of a step that asks other programs for something; servers and migrations get more. */
export const STEP_LIMIT_MS = 60_000
/** A server that reads gigabytes back after a crash, or a migration of millions of rows. */
export const LONG_STEP = 15

export type StartStep = <T>(name: string, step: Promise<T>, times?: number) => Promise<T>

/** Steps of the start: one that hangs ends it, and the message names the step. */
export function createStartStep(limitMs: number): StartStep {
  return async (name, step, times = 1) => {
    const late = Promise.withResolvers<never>()
    const seconds = (limitMs * times) / 1_000
    const detail = `Starting the master: ${name} did not end within ${seconds} s.`
    const timer = setTimeout(() => late.reject(new ScError('SC_UNAVAILABLE', detail)), limitMs * times)
    try {
      return await Promise.race([step, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}
