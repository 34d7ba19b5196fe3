import { Worker } from 'node:worker_threads'
import { ScError } from '@sc/shared/errors.ts'
import type { CheckAnswer, CheckRequest } from './check-thread.ts'

/**
 * DESIGN. Schemas come from workers and inputs from users: together they can ask for any amount of work. So they meet in
 * threads, each check with a deadline; a thread that is over it is ended, and another is started when there is need.
 *
 *   waiting (by task)  ->  running, on a thread of its own  ->  answered
 *                                                           ->  over the deadline or the memory: the thread is ended
 *
 * Tasks take turns, and one check of a task runs at a time: who asks for costly checks waits for them alone.
 */
export interface CheckPool {
  /** `task`: whose turn it takes. SC_OVERLOADED: too much waits for this task already. */
  check(task: string, request: CheckRequest): Promise<CheckOutcome>
  close(): Promise<void>
}

export type CheckOutcome =
  | Extract<CheckAnswer, { type: 'faults' | 'unfit' | 'failed' }>
  /** `of`: what the time or the memory went into. */
  | { type: 'exceeded'; of: 'schema' | 'input' }

interface Waiting {
  request: CheckRequest
  outcome: PromiseWithResolvers<CheckOutcome>
}

/** The checks of a task that wait, and how much their inputs have in all. */
interface Line {
  checks: Waiting[]
  chars: number
}

const THREADS = 2
/** Many times what the largest useful input needs, on a machine that is busy with other things too. */
const DEADLINE_MS = 2_000
/** What may be registered takes 0.1 s on a quiet machine, and is kept. */
const COMPILE_DEADLINE_MS = 10_000
/** Loading ajv takes 0.2 s on a quiet machine. */
const START_TIMEOUT_MS = 30_000
/** Of one task. */
const MOST_WAITING = 5_000
const MOST_WAITING_CHARS = 16 * 1024 ** 2
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32 }

export function createCheckPool({ threads = THREADS, deadlineMs = DEADLINE_MS } = {}): CheckPool {
  /** The task whose turn is next comes first. */
  const waiting = new Map<string, Line>()
  const running = new Set<string>()
  const idle: CheckThread[] = []
  const all = new Set<CheckThread>()
  let isClosed = false

  function startNext(): void {
    while (running.size < threads && !isClosed) {
      const task = [...waiting.keys()].find(name => !running.has(name))
      if (task === undefined) return
      const next = takeFrom(task)
      running.add(task)
      void run(next).finally(() => {
        running.delete(task)
        startNext()
      })
    }
  }

  /** Its next check; the task goes to the end of those that wait. */
  function takeFrom(task: string): Waiting {
    const line = waiting.get(task) as Line
    const next = line.checks.shift() as Waiting
    line.chars -= next.request.input.length
    waiting.delete(task)
    if (line.checks.length > 0) waiting.set(task, line)
    return next
  }

  function takeIdle(): CheckThread {
    for (let thread = idle.pop(); thread; thread = idle.pop()) {
      if (!thread.hasEnded()) return thread
      all.delete(thread)
    }
    const thread = startThread(deadlineMs)
    all.add(thread)
    return thread
  }

  async function run({ request, outcome }: Waiting): Promise<void> {
    const thread = takeIdle()
    try {
      outcome.resolve(await thread.check(request))
    } catch (error) {
      outcome.reject(error)
    }
    if (thread.hasEnded()) all.delete(thread)
    else idle.push(thread)
  }

  return {
    check: async (task, request) => {
      if (isClosed) throw closing()
      const line = waiting.get(task) ?? { checks: [], chars: 0 }
      if (line.checks.length >= MOST_WAITING || line.chars + request.input.length > MOST_WAITING_CHARS)
        throw new ScError('SC_OVERLOADED', `Too many inputs of ${task} wait to be checked. Send fewer at once.`)
      const outcome = Promise.withResolvers<CheckOutcome>()
      line.checks.push({ request, outcome })
      line.chars += request.input.length
      waiting.set(task, line)
      startNext()
      return await outcome.promise
    },
    close: async () => {
      isClosed = true
      for (const { checks } of waiting.values()) for (const { outcome } of checks) outcome.reject(closing())
      waiting.clear()
      await Promise.all([...all].map(thread => thread.end()))
    }
  }
}

interface CheckThread {
  check(request: CheckRequest): Promise<CheckOutcome>
  hasEnded(): boolean
  end(): Promise<void>
}

function startThread(deadlineMs: number): CheckThread {
  const worker = new Worker(new URL('./check-thread.ts', import.meta.url), {
    execArgv: [],
    env: {},
    resourceLimits: LIMITS
  })
  const ready = Promise.withResolvers<void>()
  let current: { outcome: PromiseWithResolvers<CheckOutcome>; of: 'schema' | 'input' } | undefined
  let deadline: NodeJS.Timeout | undefined
  let hasEnded = false

  worker.on('message', (answer: CheckAnswer) => {
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
      of === 'input' ? deadlineMs : COMPILE_DEADLINE_MS
    )
  }

  function exceeded(): void {
    if (current) current.outcome.resolve({ type: 'exceeded', of: current.of })
  }

  async function end(): Promise<void> {
    hasEnded = true
    await worker.terminate()
  }

  async function check(request: CheckRequest): Promise<CheckOutcome> {
    const limit = setTimeout(() => void end(), START_TIMEOUT_MS)
    await ready.promise.finally(() => clearTimeout(limit))
    const outcome = Promise.withResolvers<CheckOutcome>()
    current = { outcome, of: 'schema' }
    begin('schema')
    worker.postMessage(request)
    return await outcome.promise.finally(() => {
      clearTimeout(deadline)
      current = undefined
    })
  }
  return { check, hasEnded: () => hasEnded, end }
}

function closing(): ScError {
  return new ScError('SC_UNAVAILABLE', 'The master is stopping. Ask it again in a moment.')
}
