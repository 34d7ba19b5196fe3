/**
 * DESIGN: one task process (Python or Node), owned from start to end; a new one is a new TaskProcess.
 *
 *   starting --ready--> ready --run--> running --result or error of the last run--> ready
 *      |                  |               |
 *      +------------------+---------------+--the process ended--> dead
 *
 * - starting: `hello` is sent; no `ready` within START_TIMEOUT_MS ends the process.
 * - running: one run at a time; others may lie in the process, for their turn. An abort sends `cancel`. A run that waits
 *   for its turn rejects at once, and what the process says of it later is dropped; of the run that goes on the process
 *   has CANCEL_ANSWER_MS to answer, then gets SIGTERM and TERMINATE_MS later SIGKILL. A run past its deadline is sent
 *   `cancel`, and LATE_MS later its process SIGKILL; it rejects with SC_TASK_TIMEOUT, whatever it answers by then. A Python
 *   process tells its memory from a thread of its own: one that says nothing for SILENT_MS is frozen, and gets SIGKILL. A
 *   Node process has one thread, which may compute.
 * - dead: nothing leaves it. The pending `ready` and every run reject with SC_CHILD_DIED and the tail of stderr.
 * The process leads a group of its own (Ctrl-C in a terminal must not end the units that drain), and ends by itself when
 * its stdin closes, so also after a `kill -9` of the worker. A state that is added must also be named in `slot-tasks.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createTail, lineOf } from '@sc/shared/children/lines.ts'
import { type Command, type ProcessGroup, spawnGroup } from '@sc/shared/children/process-group.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { type FromChild, fromChildSchema, PYTHON_PROTOCOL, type ToChild } from '@sc/shared/python-protocol.ts'
import type { Device } from '../python/command.ts'
import { type Answer, cancelled, errorOf, type PendingRun, type Run, timedOut } from './run.ts'
import { beginTurn, type Turn } from './turn.ts'

const START_TIMEOUT_MS = 60_000
const CANCEL_ANSWER_MS = 200
const TERMINATE_MS = 100
const STOP_ANSWER_MS = 2_000
/** For what a task does at its end, `finally` and the like. */
const LATE_MS = 5_000
/** Twelve times the pause between two words of the Python process. */
const SILENT_MS = 60_000
const STDERR_TAIL_BYTES = 4_096

export type Ready = Extract<FromChild, { type: 'ready' }>

export interface ProcessOptions {
  /** For messages. */
  language: 'Python' | 'Node'
  command: Command
  env: Record<string, string>
  device: Device
  modelsDir: string | null
  tasksDir: string | null
  /** What it may keep in memory; it is not ended for more. */
  maxRssBytes?: number | undefined
  log: Logger
  startTimeoutMs?: number
  /** A Python process that says nothing for so long while it runs a task is frozen. */
  silentMs?: number
  lateMs?: number
}

export class TaskProcess {
  state: 'starting' | 'ready' | 'running' | 'dead' = 'starting'
  readonly ready: Promise<Ready>
  readonly ended: Promise<void>
  /** Lines on stdout that are no message of the protocol. */
  strayLines = 0
  memory: { rssBytes: number; vramBytes: number | null } = { rssBytes: 0, vramBytes: null }
  readonly #options: ProcessOptions
  readonly #process: ProcessGroup
  readonly #stderr = createTail(STDERR_TAIL_BYTES)
  readonly #readiness = Promise.withResolvers<Ready>()
  /** In order; the first is the one that goes on. */
  #runs: PendingRun[] = []
  #turn: Turn | undefined
  /** Why this side ended the process: says more than the signal that it died of. */
  #endedBecause = ''

  constructor(options: ProcessOptions) {
    this.#options = options
    this.ready = this.#readiness.promise
    this.ready.catch(() => {})
    this.#process = spawnGroup(options.command, options.env, {
      onLine: line => this.#onLine(line),
      onLineWithoutEnd: () => this.kill('it wrote a line without end'),
      onStderr: text => this.#onStderr(text),
      onEnd: reason => this.#onDeath(reason)
    })
    this.ended = this.#process.ended
    const onTooLate = (): void => this.kill('it did not answer `hello` in time')
    const timer = setTimeout(onTooLate, options.startTimeoutMs ?? START_TIMEOUT_MS)
    this.ready.finally(() => clearTimeout(timer)).catch(() => {})
    const device = options.device === 'cpu' ? 'cpu' : 'cuda'
    const { modelsDir, tasksDir, maxRssBytes = null } = options
    this.#send({ type: 'hello', protocol: PYTHON_PROTOCOL, device, modelsDir, tasksDir, maxRssBytes })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /**
   * Runs one task, after those asked for before. Rejects with the task's error, SC_CANCELLED after an abort,
   * SC_TASK_TIMEOUT or SC_CHILD_DIED.
   */
  async run(run: Run): Promise<Answer> {
    if (this.state !== 'ready' && this.state !== 'running')
      throw new ScError('SC_CHILD_DIED', `the ${this.#options.language} process is ${this.state}, not ready`)
    if (run.signal.aborted) throw new ScError('SC_CANCELLED', 'stopped before it started')
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const pending: PendingRun = { ...run, late: false, resolve, reject }
    this.#runs.push(pending)
    this.#sendRun(run)
    const onAbort = (): void => {
      this.#send({ type: 'cancel', id: run.id })
      if (this.#runs[0] === pending) void this.#awaitCancel(pending)
      else reject(cancelled(run))
    }
    run.signal.addEventListener('abort', onAbort)
    if (this.#runs.length === 1) this.#beginTurn(pending)
    try {
      return await promise
    } finally {
      run.signal.removeEventListener('abort', onAbort)
    }
  }

  #beginTurn(run: PendingRun): void {
    const { language, silentMs = SILENT_MS, lateMs = LATE_MS } = this.#options
    this.state = 'running'
    this.#turn = beginTurn({
      deadlineMs: run.deadlineMs,
      onLate: () => {
        run.late = true
        this.#send({ type: 'cancel', id: run.id })
      },
      graceMs: lateMs,
      onTooLate: () => {
        this.kill('a task ran too long')
      },
      silentMs: language === 'Python' ? silentMs : null,
      onSilent: () => this.kill(`it said nothing for ${silentMs / 1000} s: it was stopped, or native code held it`)
    })
    if (run.signal.aborted) void this.#awaitCancel(run)
    else run.onBegin?.()
  }

  /** Asks the process to end, then makes it. */
  async stop(): Promise<void> {
    if (this.state === 'dead') return this.ended
    this.#endedBecause ||= 'the worker stopped it'
    this.#send({ type: 'shutdown' })
    this.#process.closeInput()
    if (await this.#endsWithin(STOP_ANSWER_MS)) return
    await this.#terminate()
  }

  /** Ends the process and its children at once. */
  kill(reason: string): void {
    this.#endedBecause ||= reason
    this.#process.signal('SIGKILL')
  }

  async #awaitCancel(run: PendingRun): Promise<void> {
    await sleep(CANCEL_ANSWER_MS, undefined, { ref: false })
    if (this.#runs[0] !== run) return
    this.#endedBecause ||= 'it did not answer `cancel`'
    await this.#terminate()
  }

  async #terminate(): Promise<void> {
    this.#process.signal('SIGTERM')
    if (!(await this.#endsWithin(TERMINATE_MS))) this.#process.signal('SIGKILL')
    await this.ended
  }

  async #endsWithin(ms: number): Promise<boolean> {
    return Promise.race([this.ended.then(() => true), sleep(ms, false, { ref: false })])
  }

  #send(message: ToChild): void {
    this.#process.write(JSON.stringify(message))
  }

  #sendRun({ id, task, input, inputText }: Run): void {
    if (inputText === undefined) this.#send({ type: 'run', id, task, input })
    else this.#process.write(lineOf({ type: 'run', id, task }, inputText))
  }

  #onStderr(text: string): void {
    this.#stderr.add(text)
    this.#options.log.debug({ childPid: this.pid }, text.trimEnd())
  }

  #onLine(line: string): void {
    this.#turn?.heard()
    const message = parseLine(line)
    if (!message) {
      this.#onStrayLine(line)
    } else if (message.type === 'memory') {
      this.memory = { rssBytes: message.rssBytes, vramBytes: message.vramBytes }
    } else if (message.type === 'ready') {
      this.#onReady(message)
    } else {
      this.#onRunMessage(message)
    }
  }

  #onReady(message: Ready): void {
    if (this.state !== 'starting') return
    if (message.protocol !== PYTHON_PROTOCOL) {
      const versions = `it speaks protocol ${message.protocol}, the worker ${PYTHON_PROTOCOL}`
      this.kill(`${versions}: update both from the same release`)
    } else {
      this.state = 'ready'
      this.#readiness.resolve(message)
    }
  }

  #onRunMessage(message: Exclude<FromChild, { type: 'ready' | 'memory' }>): void {
    const [run] = this.#runs
    // A log line of no run belongs to the process; any other message of another run is late and of no use.
    if (message.type === 'log' && (!run || message.id !== run.id)) {
      this.#options.log[message.level]({ childPid: this.pid, ...message.fields }, message.message)
    } else if (message.type === 'error' && message.id === null) {
      // `hello` failed, or a line could not be read: what it does with a run is unknown.
      this.#stderr.add(`${message.detail}\n`)
      this.kill(`it said ${message.code}: ${message.message}`)
    } else if (!run || message.id !== run.id) {
      return
    } else if (message.type === 'progress') {
      run.onProgress(message)
    } else if (message.type === 'log') {
      run.onLog(message)
    } else {
      this.#turn?.end()
      this.#runs.shift()
      const [next] = this.#runs
      if (next) this.#beginTurn(next)
      else this.state = 'ready'
      if (run.late) run.reject(timedOut(run, ''))
      else if (message.type === 'result') run.resolve({ output: message.output, metrics: message.metrics })
      else run.reject(run.signal.aborted ? cancelled(run) : errorOf(message))
    }
  }

  #onStrayLine(line: string): void {
    this.strayLines++
    const shown = line.slice(0, 300)
    this.#options.log.warn(
      { childPid: this.pid, strayLines: this.strayLines },
      `${this.#options.language} wrote no message: ${shown}`
    )
  }

  #onDeath(how: string): void {
    this.state = 'dead'
    const reason = this.#endedBecause || how
    const tail = this.#stderr.text()
    const detail = `The ${this.#options.language} process ended: ${reason}.${tail ? `\n${tail}` : ''}`
    this.#readiness.reject(new ScError('SC_CHILD_DIED', detail))
    this.#turn?.end()
    for (const run of this.#runs.splice(0)) {
      if (run.signal.aborted) run.reject(cancelled(run))
      else run.reject(run.late ? timedOut(run, tail) : new ScError('SC_CHILD_DIED', detail))
    }
  }
}

/** The message of a line; undefined: it is none of the protocol. */
function parseLine(line: string): FromChild | undefined {
  try {
    return fromChildSchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}
