import { Worker } from 'node:worker_threads'
import { ScError } from '@sc/shared/errors.ts'
import type { ThreadAnswer, ThreadRequest } from './check-thread.ts'

/** One thread of `check-pool.ts`, seen from the master: ended where a request takes too long, or too much memory. */
export type Outcome =
  | Exclude<ThreadAnswer, { type: 'ready' | 'compiled' }>
  /** `of`: what the time or the memory went into. */
  | { type: 'exceeded'; of: 'schema' | 'input' }

/** To the deadline, for each megabyte after the first. */
const MEGABYTE_MS = 250
/** What may be registered takes 0.1 s on a quiet machine, and is kept. */
const COMPILE_DEADLINE_MS = 10_000
/** Loading ajv takes 0.2 s on a quiet machine. */
const START_TIMEOUT_MS = 30_000
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32 }

export interface CheckThread {
  check(request: ThreadRequest): Promise<Outcome>
  hasEnded(): boolean
  end(): Promise<void>
}

/** `deadlineMs`: of a request of a megabyte. */
export function startThread(deadlineMs: number): CheckThread {
  const worker = new Worker(new URL('./check-thread.ts', import.meta.url), {
    execArgv: [],
    env: {},
    resourceLimits: LIMITS
  })
  const ready = Promise.withResolvers<void>()
  let current: { outcome: PromiseWithResolvers<Outcome>; of: 'schema' | 'input'; size: number } | undefined
  let deadline: NodeJS.Timeout | undefined
  let hasEnded = false

  worker.on('message', (answer: ThreadAnswer) => {
    if (answer.type === 'ready') ready.resolve()
    else if (answer.type === 'compiled') begin('input')
    else current?.outcome.resolve(answer)
  })
  worker.on('error', (error: NodeJS.ErrnoException) => {
    hasEnded = true
    ready.reject(error)
    if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') exceeded()
    else current?.outcome.reject(error)
  })
  worker.once('exit', () => {
    hasEnded = true
    ready.reject(closing())
    current?.outcome.reject(closing())
  })
  // Whoever closes the pool may do it before the first check.
  ready.promise.catch(() => {})

  function begin(of: 'schema' | 'input'): void {
    if (current) current.of = of
    clearTimeout(deadline)
    deadline = setTimeout(
      () => {
        exceeded()
        void end()
      },
      of === 'input' ? deadlineMs + MEGABYTE_MS * Math.floor((current?.size ?? 0) / 1024 ** 2) : COMPILE_DEADLINE_MS
    )
  }

  function exceeded(): void {
    if (current) current.outcome.resolve({ type: 'exceeded', of: current.of })
  }

  async function end(): Promise<void> {
    hasEnded = true
    await worker.terminate()
  }

  async function check(request: ThreadRequest): Promise<Outcome> {
    const limit = setTimeout(() => void end(), START_TIMEOUT_MS)
    await ready.promise.finally(() => clearTimeout(limit))
    const outcome = Promise.withResolvers<Outcome>()
    current = { outcome, of: 'schema', size: sizeOf(request) }
    begin(request.type === 'check' ? 'schema' : 'input')
    worker.postMessage(request, request.type === 'read' ? [request.body.buffer] : [])
    return await outcome.promise.finally(() => {
      clearTimeout(deadline)
      current = undefined
    })
  }
  return { check, hasEnded: () => hasEnded, end }
}

/** In characters or bytes, whichever it comes in. */
export function sizeOf(request: ThreadRequest): number {
  if (request.type === 'render') return request.bytes
  return request.type === 'read' ? request.body.length : request.input.length
}

export function closing(): ScError {
  return new ScError('SC_UNAVAILABLE', 'The master is stopping. Ask it again in a moment.')
}
