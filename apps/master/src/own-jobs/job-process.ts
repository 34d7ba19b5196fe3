/**
 * DESIGN: one process with the jobs of the user's own, owned from start to end; a new one is a new JobProcess.
 *
 *   starting --ready--> ready --the process ended--> dead
 *
 * - Many runs (a plan or a merge each) go on at once. What one of them throws is its own failure. Where the process ends, all
 *   of them reject with SC_JOB_DIED: whose fault it was, `own-jobs.ts` finds out.
 * - It is asked every PING_MS whether its event loop turns. A run that computes holds up the others; for longer than
 *   PINGS_UNANSWERED of these, the process gets SIGKILL. So does one that is not ready after START_MS.
 * - Its heap may have MEMORY_MB.
 * - A run that waits for something of its own has LIMIT_MS; one that awaits outputs of units may take days.
 * - retire: no further run; the process ends with the last one.
 */
import { join } from 'node:path'
import { createTail, lineOf } from '@sc/shared/children/lines.ts'
import { nodeProcess } from '@sc/shared/children/node-command.ts'
import { type ProcessGroup, spawnGroup } from '@sc/shared/children/process-group.ts'
import { childEnv } from '@sc/shared/config.ts'
import { isErrorCode, ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { Awaiter } from '../jobs/definition.ts'
import { type FromProcess, fromProcessSchema, type OutcomeLine, type ToProcess, type UnitLine } from './protocol.ts'

const PING_MS = 1_000
const PINGS_UNANSWERED = 30
const START_MS = 60_000
const MEMORY_MB = 1_024
/** For a merge, and for a plan between two units while it awaits no output. */
const LIMIT_MS = 10 * 60_000
const STDERR_TAIL_BYTES = 4_096

export type Ready = Extract<FromProcess, { type: 'ready' }>

export interface RunRequest {
  job: string
  /** Reads it, as JSON text: asked for once, so that a large one is not kept. */
  input(): Promise<string>
  /** Nothing of the run counts once it fires. */
  signal: AbortSignal
}

/** A unit that a plan asks for. */
export interface AskedUnit {
  task: string
  /** As JSON text. */
  input: string
  /** Null: nobody awaits its output. */
  awaiter: Awaiter | null
}

export interface MergeRequest extends RunRequest {
  /** In the order of the plan, some at a time. */
  units: AsyncIterable<OutcomeLine[]>
}

export interface JobProcessOptions {
  tasksDir: string
  log: Logger
  /** For how many PING_MS its event loop may stand still. */
  pingsUnanswered?: number
  limitMs?: number
  memoryMb?: number
}

/** Their `input` comes as text. */
type WithInput = Omit<Extract<ToProcess, { type: 'plan' | 'merge' }>, 'input'>
type Sent = Exclude<ToProcess, { type: 'plan' | 'merge' }>

interface Run {
  id: string
  onMessage(message: FromProcess): void
  reject(error: unknown): void
  leave(): void
}

export class JobProcess {
  readonly ready: Promise<Ready>
  readonly ended: Promise<void>
  readonly #options: JobProcessOptions
  readonly #process: ProcessGroup
  readonly #stderr = createTail(STDERR_TAIL_BYTES)
  readonly #readiness = Promise.withResolvers<Ready>()
  readonly #runs = new Map<string, Run>()
  readonly #pinging: NodeJS.Timeout
  #lastId = 0
  #unanswered = 0
  #isRetired = false
  #isDead = false
  /** Why this side ended the process: says more than the signal that it died of. */
  #endedBecause = ''

  constructor(options: JobProcessOptions) {
    this.#options = options
    this.ready = this.#readiness.promise
    this.ready.catch(() => {})
    const main = join(import.meta.dirname, 'process/main.ts')
    this.#process = spawnGroup(nodeProcess(main, `--max-old-space-size=${options.memoryMb ?? MEMORY_MB}`), childEnv(), {
      onLine: line => this.#onLine(line),
      onLineWithoutEnd: () => this.#kill('it wrote a line without end'),
      onStderr: text => this.#onStderr(text),
      onEnd: how => this.#onDeath(how)
    })
    this.ended = this.#process.ended
    const timer = setTimeout(() => this.#kill(`its files were not loaded within ${START_MS / 1000} s`), START_MS)
    this.ready.finally(() => clearTimeout(timer)).catch(() => {})
    this.#pinging = setInterval(() => this.#ping(), PING_MS)
    this.#send({ type: 'hello', tasksDir: options.tasksDir })
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** Yields the units of a plan, in its order, those that are there together. Throws what it threw, SC_JOB_DIED, or the signal's reason. */
  async *plan({ job, input, signal }: RunRequest): AsyncGenerator<AskedUnit[], void> {
    let lines: UnitLine[][] = []
    let isPlanned = false
    let failure: { error: unknown } | undefined
    let awaited = 0
    let change = Promise.withResolvers<void>()
    const fail = (error: unknown): void => {
      failure ??= { error }
      change.resolve()
    }
    const run = this.#begin(signal, {
      onMessage: message => {
        if (message.type === 'units') lines.push(message.units)
        else if (message.type === 'planned') isPlanned = true
        change.resolve()
      },
      reject: fail
    })
    const toAsked = ({ task, input, call }: UnitLine): AskedUnit => {
      if (call === null) return { task, input, awaiter: null }
      awaited++
      const settled: Awaiter['settled'] = async outcome => {
        awaited--
        change.resolve()
        this.#send({ type: 'ran', id: run.id, call, ...outcome })
        await this.#process.drained()
      }
      return { task, input, awaiter: { settled, failed: fail } }
    }
    try {
      this.#send({ type: 'plan', id: run.id, job }, await input())
      for (;;) {
        const taken = lines
        lines = []
        if (taken.length > 0) {
          // The next ones come while these are added.
          for (const _ of taken) this.#send({ type: 'taken', id: run.id })
          yield taken.flat().map(toAsked)
          continue
        }
        if (failure) throw failure.error
        if (isPlanned) return
        if (awaited > 0) await change.promise
        else await within(this.#options.limitMs ?? LIMIT_MS, `The plan of ${job}`, change.promise)
        change = Promise.withResolvers()
      }
    } finally {
      this.#end(run)
    }
  }

  /** The output of a merge, checked, as JSON text. Throws as `plan` does. */
  async merge({ job, input, signal, units }: MergeRequest): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    promise.catch(() => {})
    const pieces: string[] = []
    let isOver = false
    const onMessage = (message: FromProcess): void => {
      if (message.type === 'output') pieces.push(message.text)
      else if (message.type === 'merged') resolve(pieces.join(''))
    }
    const fail = (error: unknown): void => {
      isOver = true
      reject(error)
    }
    const run = this.#begin(signal, { onMessage, reject: fail })
    try {
      for await (const page of units) {
        if (isOver) break
        this.#send({ type: 'outcomes', id: run.id, units: page })
        // No more than a page waits in the master.
        await this.#process.drained()
      }
      const text = isOver ? '' : await input()
      if (!isOver) this.#send({ type: 'merge', id: run.id, job }, text)
      return await within(this.#options.limitMs ?? LIMIT_MS, `The merge of ${job}`, promise)
    } finally {
      this.#end(run)
    }
  }

  /** Takes no further run, and ends with the last one. */
  retire(): void {
    this.#isRetired = true
    if (this.#runs.size === 0) this.#kill('it was replaced')
  }

  /** Ends the process and all that it started. */
  async stop(): Promise<void> {
    this.#kill('the master stopped it')
    await this.ended
  }

  #begin(signal: AbortSignal, { onMessage, reject }: Pick<Run, 'onMessage' | 'reject'>): Run {
    signal.throwIfAborted()
    if (this.#isDead || this.#isRetired) throw new ScError('SC_JOB_DIED', 'The process of the jobs had ended.')
    const id = `${++this.#lastId}`
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const run = { id, onMessage, reject, leave: () => signal.removeEventListener('abort', onAbort) }
    this.#runs.set(id, run)
    return run
  }

  #end({ id, leave }: Run): void {
    leave()
    if (!this.#runs.delete(id)) return
    this.#send({ type: 'cancel', id })
    if (this.#isRetired && this.#runs.size === 0) this.#kill('it was replaced')
  }

  #ping(): void {
    const { pingsUnanswered = PINGS_UNANSWERED } = this.#options
    if (this.#unanswered++ >= pingsUnanswered)
      this.#kill(`it let nothing else run for ${(pingsUnanswered * PING_MS) / 1000} s: a plan or a merge computes`)
    else this.#send({ type: 'ping' })
  }

  #kill(reason: string): void {
    this.#endedBecause ||= reason
    this.#process.signal('SIGKILL')
  }

  #send(message: Sent): void
  #send(message: WithInput, input: string): void
  #send(message: Sent | WithInput, input?: string): void {
    if (!this.#isDead) this.#process.write(lineOf(message, input))
  }

  #onLine(line: string): void {
    const message = parseLine(line)
    if (!message) {
      this.#kill('it wrote what is no message')
      return
    }
    this.#unanswered = 0
    if (message.type === 'ready') this.#readiness.resolve(message)
    else if (message.type === 'log') this.#options.log[message.level](message.message)
    else if (message.type === 'failed') this.#runs.get(message.id)?.reject(errorOf(message))
    else if (message.type !== 'pong') this.#runs.get(message.id)?.onMessage(message)
  }

  #onStderr(text: string): void {
    this.#stderr.add(text)
    this.#options.log.info(text.trimEnd())
  }

  #onDeath(how: string): void {
    this.#isDead = true
    clearInterval(this.#pinging)
    const tail = this.#stderr.text()
    const error = new ScError(
      'SC_JOB_DIED',
      `The process of the jobs ended: ${this.#endedBecause || how}.${tail ? `\n${tail}` : ''}`
    )
    this.#readiness.reject(error)
    for (const { reject } of [...this.#runs.values()]) reject(error)
  }
}

function errorOf({ code, message, retryable, detail }: Extract<FromProcess, { type: 'failed' }>): ScError {
  const text = detail ? `${message}\n${detail}` : message
  return new ScError(isErrorCode(code) ? code : 'SC_TASK_FAILED', text, { retryable })
}

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const detail = `${what} waited for ${ms / 1000} s for something that is no unit: it was given up.`
  const timer = setTimeout(() => late.reject(new ScError('SC_TASK_TIMEOUT', detail, { retryable: false })), ms)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function parseLine(line: string): FromProcess | undefined {
  try {
    return fromProcessSchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}
