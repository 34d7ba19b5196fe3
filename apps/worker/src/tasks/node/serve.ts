/**
 * DESIGN: the Node side of the line protocol, as `python-gpu/sc_gpu/serve.py` is Python's. One run at a time, in the order
 * in which they came; each ends with exactly one `result` or `error`. `cancel` aborts the signal of a run that waits or
 * goes on: it ends with SC_CANCELLED when its task returns or throws. A task that never looks at its signal is ended with
 * its process, by the worker. A promise that nobody awaits, a callback that throws and `process.exit` are failures of the run
 * in whose asynchronous context they happen. `load` and `unload` are for Python's models. A new kind of message needs a case in `onMessage`.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { inspect } from 'node:util'
import { callTask, createTaskLog } from '@sc/shared/call-task.ts'
import { failureOf, textOf } from '@sc/shared/children/failure.ts'
import type { UserCodeServer } from '@sc/shared/children/serve-user-code.ts'
import { keepEnvironment } from '@sc/shared/config.ts'
import type { LogFields, LogLevel } from '@sc/shared/define-task.ts'
import { ScError } from '@sc/shared/errors.ts'
import { type FromChildLine, PYTHON_PROTOCOL, toChildSchema } from '@sc/shared/python-protocol.ts'
import type { z } from 'zod'
import { childrenNow, endChildrenBut } from './children.ts'
import { type LoadedTasks, loadTasks } from './load-tasks.ts'

const MEMORY_EVERY_MS = 5_000
/** Queued runs follow each other without a turn of the event loop for so long. */
const LONGEST_DEAF_MS = 5
/** Between two runs the worker looks how large the process is. */
const LEAST_MEMORY_EVERY_MS = 100

type ToChild = z.output<typeof toChildSchema>
type Message<T extends ToChild['type']> = Extract<ToChild, { type: T }>

/** A task's own is refused. */
const exit = process.exit.bind(process)
/** Where each run starts. */
const folder = process.cwd()
const restoreEnvironment = keepEnvironment()

export function serve(send: (message: FromChildLine) => void): UserCodeServer {
  const stops = new Map<string, AbortController>()
  /** How the run fails whose code this is. */
  const failing = new AsyncLocalStorage<(thrown: unknown) => void>()
  let loaded: LoadedTasks = { tasks: new Map(), descriptions: [], leftOut: [] }
  let runningId: string | null = null
  let last: Promise<void> = Promise.resolve()
  let memoryToldMs = 0
  let turnedMs = performance.now()
  setInterval(tellMemory, MEMORY_EVERY_MS)

  function onLine(line: string): void {
    if (line.trim() === '') return
    const message = parse(line)
    if (message) onMessage(message)
    else
      send({
        type: 'error',
        id: null,
        ...failureOf(new ScError('SC_BAD_REQUEST', 'The line is no message of the protocol'), 'a line')
      })
  }

  function onMessage(message: ToChild): void {
    switch (message.type) {
      case 'hello':
        last = hello(message)
        return
      case 'run': {
        const stop = new AbortController()
        stops.set(message.id, stop)
        last = last.then(() => run(message, stop.signal)).then(letBeRead)
        return
      }
      case 'cancel':
        stops.get(message.id)?.abort()
        return
      case 'shutdown':
        for (const stop of stops.values()) stop.abort()
        void last.then(() => exit(0))
        return
      case 'load':
      case 'unload':
        return
    }
  }

  /** After a run that let nothing be read for a while: the next one may have been cancelled meanwhile. */
  async function letBeRead(): Promise<void> {
    if (performance.now() - turnedMs < LONGEST_DEAF_MS) return
    for (let turn = 0; turn < 2; turn++) await new Promise(resolve => setImmediate(resolve))
    turnedMs = performance.now()
  }

  async function hello({ device, tasksDir }: Message<'hello'>): Promise<void> {
    loaded = await loadTasks(tasksDir)
    const { descriptions: tasks, leftOut } = loaded
    const versions = { node: process.versions.node }
    send({ type: 'ready', protocol: PYTHON_PROTOCOL, tasks, device, versions, leftOut })
  }

  async function run({ id, task: name, input }: Message<'run'>, signal: AbortSignal): Promise<void> {
    const startedMs = performance.now()
    const before = childrenNow()
    runningId = id
    try {
      signal.throwIfAborted()
      const task = loaded.tasks.get(name)
      if (!task) throw new ScError('SC_TASK_UNKNOWN', `This process has no task ${name}.`)
      const { files, rest } = withoutFiles(input)
      const stray = Promise.withResolvers<never>()
      const calling = failing.run(stray.reject, callTask, task, rest, {
        log: createTaskLog((level, message, fields) => say(id, level, message, fields)),
        signal,
        // NaN counts as nothing.
        progress: (fraction, partial) =>
          send({
            type: 'progress',
            id,
            fraction: typeof fraction === 'number' && fraction > 0 ? Math.min(1, fraction) : 0,
            partial: plain(partial)
          }),
        files
      })
      const output = await Promise.race([calling, stray.promise]).finally(() => endChildrenBut(before))
      signal.throwIfAborted()
      send({ type: 'result', id, output: output ?? null, metrics: { ranMs: performance.now() - startedMs } })
    } catch (thrown) {
      const failure = signal.aborted ? new ScError('SC_CANCELLED', `run ${id} was cancelled`) : thrown
      send({ type: 'error', id, ...failureOf(failure, name) })
    } finally {
      if (process.cwd() !== folder) process.chdir(folder)
      restoreEnvironment()
      runningId = null
      stops.delete(id)
      if (stops.size === 0 || performance.now() - memoryToldMs > LEAST_MEMORY_EVERY_MS) tellMemory()
    }
  }

  function say(id: string | null, level: LogLevel, message: string, fields: LogFields): void {
    send({
      type: 'log',
      id,
      level,
      message,
      ...(Object.keys(fields).length > 0 ? { fields: fieldsOf(plain(fields)) } : {})
    })
  }

  function tellMemory(): void {
    memoryToldMs = performance.now()
    send({ type: 'memory', rssBytes: process.memoryUsage.rss(), vramBytes: null })
  }

  function onStray(thrown: unknown): void {
    const fail = failing.getStore()
    if (fail) fail(thrown)
    else say(null, 'error', `Nobody caught: ${textOf(thrown)}`, {})
  }

  function refuseExit(code?: number | string | null): never {
    throw new Error(`it called process.exit(${code ?? ''})`)
  }

  return { onLine, log: (level, message) => say(runningId, level, message, {}), onStray, refuseExit }
}

function parse(line: string): ToChild | undefined {
  try {
    return toChildSchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}

/** A unit's files lie in its input, under a name that no task's own field has. */
function withoutFiles(input: unknown): { files: Record<string, string>; rest: unknown } {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return { files: {}, rest: input }
  const { files = {}, ...rest } = input as { files?: Record<string, string> }
  return { files, rest }
}

/** As it can be sent: telling of something never fails a task. */
function plain(value: unknown): unknown {
  try {
    return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
  } catch {
    return inspect(value)
  }
}

function fieldsOf(value: unknown): LogFields {
  return typeof value === 'object' && value !== null ? (value as LogFields) : { fields: value }
}
