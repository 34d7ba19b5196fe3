import { ScError } from '@sc/shared/errors.ts'
import type { RenderedTranscript } from '../transcription/formats.ts'
import { createCheckLines, type Waiting } from './check-lines.ts'
import type { CheckRequest, HashRequest, ReadBody, RenderRequest, ThreadRequest } from './check-thread.ts'
import { type CheckThread, closing, type Outcome, sizeOf, startThread } from './start-check-thread.ts'

/**
 * DESIGN. Schemas come from workers and inputs from users: together they can ask for any amount of work. So they meet in
 * threads, each check with a deadline; a thread that is over it is ended, and another is started when there is need. What else a
 * large input needs, and would hold up the master, is done there, too: `read` and `hash`; and `render` for a long transcript.
 *
 *   waiting (by key) -> running, on a thread of its own  ->  answered
 *          |                                             ->  over the deadline or the memory: the thread is ended
 *          \--nobody waits for the answer any more, or the task is gone--> dropped
 *
 * Keys take turns, and one check of a key runs at a time: who asks for costly checks waits for them alone.
 */
export interface CheckPool {
  /** SC_OVERLOADED: too much waits already; SC_CANCELLED: `asker.signal` fired; SC_TASK_UNKNOWN: the task is gone. */
  check(asker: Asker, task: CheckedTask, request: CheckRequest): Promise<CheckOutcome>
  /** Takes a large body apart, whose bytes are gone then. SC_BAD_REQUEST, SC_TASK_INPUT, SC_TASK_INPUT_COSTLY, and as `check`. */
  read(asker: Asker, body: Uint8Array<ArrayBuffer>): Promise<ReadBody>
  /** Of a request with a large input: see `hashOfRequest`. SC_TASK_INPUT_COSTLY, and as `check`. */
  hash(asker: Asker, request: HashRequest): Promise<string>
  /** SC_BAD_REQUEST: the transcript is too long for it; and as `check`. */
  render(asker: Asker, request: RenderRequest): Promise<RenderedTranscript>
  close(): Promise<void>
}

/** Who wants to know. */
export interface Asker {
  /** Whose turn it takes. */
  readonly keyId: string
  /** Fires when nobody waits for the answer any more. Asked for only where a check may have to wait. */
  signal(): AbortSignal
}

export interface CheckedTask {
  readonly name: string
  isThere(): Promise<boolean>
}

export type CheckOutcome = Extract<Outcome, { type: 'faults' | 'unfit' | 'failed' | 'exceeded' }>

interface WaitingCheck extends Waiting {
  readonly sinceMs: number
  readonly isThere: CheckedTask['isThere']
  readonly request: ThreadRequest
  readonly outcome: PromiseWithResolvers<Outcome>
}

interface CheckPoolOptions {
  threads?: number
  /** Of an input of a megabyte. */
  deadlineMs?: number
  /** Characters of one that may come: a few of these wait beside what else does. */
  largestInput?: number
}

const THREADS = 2
/** Many times what the largest useful input needs, on a machine that is busy with other things too. */
const DEADLINE_MS = 2_000
/** Then its task may be gone. */
const LONG_MS = 1_000
/** Some 40 hours of speech: as objects that is what a thread has room for. */
const LONGEST_TRANSCRIPT_BYTES = 24 * 1024 ** 2
export function createCheckPool({
  threads = THREADS,
  deadlineMs = DEADLINE_MS,
  largestInput = 0
}: CheckPoolOptions = {}): CheckPool {
  const lines = createCheckLines<WaitingCheck>({ largest: largestInput })
  /** Keys. */
  const running = new Set<string>()
  const idle: CheckThread[] = []
  const all = new Set<CheckThread>()
  let isClosed = false

  function startNext(): void {
    while (running.size < threads && !isClosed) {
      const next = lines.take(running)
      if (!next) return
      running.add(next.keyId)
      void run(next)
        .catch(next.outcome.reject)
        .finally(() => {
          running.delete(next.keyId)
          startNext()
        })
    }
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

  async function run({ sinceMs, isThere, task, request, outcome }: WaitingCheck): Promise<void> {
    if (performance.now() - sinceMs > LONG_MS && !(await isThere()))
      throw new ScError('SC_TASK_UNKNOWN', `The task "${task}" is gone.`)
    const thread = takeIdle()
    try {
      outcome.resolve(await thread.check(request))
    } finally {
      if (thread.hasEnded()) all.delete(thread)
      else idle.push(thread)
    }
  }

  async function ask(asker: Asker, { name: task, isThere }: CheckedTask, request: ThreadRequest): Promise<Outcome> {
    if (isClosed) throw closing()
    const { keyId } = asker
    const signal = asker.signal()
    if (signal.aborted) throw dropped()
    const outcome = Promise.withResolvers<Outcome>()
    // What is on the disk takes no memory while it waits.
    const chars = request.type === 'render' ? 0 : sizeOf(request)
    const sinceMs = performance.now()
    const waiting = { keyId, task, chars, refuse: outcome.reject, sinceMs, isThere, request, outcome }
    const drop = (): void => {
      lines.remove(waiting)
      outcome.reject(dropped())
    }
    lines.add(waiting)
    signal.addEventListener('abort', drop, { once: true })
    startNext()
    return await outcome.promise.finally(() => signal.removeEventListener('abort', drop))
  }

  return {
    check: async (asker, task, request) => {
      const outcome = await ask(asker, task, { type: 'check', ...request })
      if (outcome.type === 'faults' || outcome.type === 'unfit') return outcome
      if (outcome.type === 'failed' || outcome.type === 'exceeded') return outcome
      throw errorOf(outcome)
    },
    read: async (asker, body) => {
      const outcome = await ask(asker, OF_NO_TASK, { type: 'read', body })
      if (outcome.type === 'body') return outcome
      throw errorOf(outcome)
    },
    hash: async (asker, request) => {
      const outcome = await ask(asker, OF_NO_TASK, { type: 'hash', ...request })
      if (outcome.type === 'hash') return outcome.hash
      throw errorOf(outcome)
    },
    render: async (asker, request) => {
      if (request.bytes > LONGEST_TRANSCRIPT_BYTES) throw tooLong(request)
      const outcome = await ask(asker, OF_NO_TASK, { type: 'render', ...request })
      if (outcome.type === 'rendered') return outcome
      if (outcome.type === 'exceeded') throw tooLong(request)
      throw new ScError(
        'SC_INTERNAL',
        `The transcript could not be read: ${'why' in outcome ? outcome.why : outcome.type}.`
      )
    },
    close: async () => {
      isClosed = true
      for (const { refuse } of lines.all()) refuse(closing())
      await Promise.all([...all].map(thread => thread.end()))
    }
  }
}

const OF_NO_TASK: CheckedTask = { name: '', isThere: async () => true }

function errorOf(outcome: Outcome): ScError {
  if (outcome.type === 'refused') return new ScError(outcome.code, outcome.detail)
  const why = 'why' in outcome ? outcome.why : 'it took too long, or too much memory'
  return new ScError('SC_TASK_INPUT_COSTLY', `The input could not be read: ${why}. Send less at once.`)
}

function dropped(): ScError {
  return new ScError('SC_CANCELLED', 'Stopped while the input waited to be checked.')
}

function tooLong({ bytes, format }: RenderRequest): ScError {
  const what = `This transcript has ${Math.ceil(bytes / 1024 ** 2)} MB, too much to be written as ${format}.`
  return new ScError('SC_BAD_REQUEST', `${what} Ask for \`format=json\`, which comes as it is.`)
}
