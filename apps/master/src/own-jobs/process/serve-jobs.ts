/**
 * DESIGN: runs plans and merges of the user's own, many at once on one event loop. What goes wrong in one is that one's
 * failure: a throw; a promise that nobody awaited, or a callback that threw, which belong to the run whose asynchronous context
 * they have; `process.exit`. What takes the whole process down (memory, native code, a loop without end) the master sees.
 *
 *   plan --units--> planned    |  each ends with one of planned, merged, failed,
 *   merge --------> merged     |  or without a word once it is cancelled
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { faultsOf } from '@sc/shared/call-task.ts'
import { failureOf, textOf } from '@sc/shared/children/failure.ts'
import type { UserCodeServer } from '@sc/shared/children/serve-user-code.ts'
import type { DefinedJob, JobUnit, UnitOutcome } from '@sc/shared/define-job.ts'
import { ScError } from '@sc/shared/errors.ts'
import { changedByJson } from '@sc/shared/plain-json.ts'
import type { z } from 'zod'
import { AHEAD, AHEAD_CHARS, type FromProcess, MOST_INPUT_CHARS, type ToProcess, type UnitLine } from '../protocol.ts'
import { type LoadedJob, loadJobs } from './load-jobs.ts'

type Message<T extends ToProcess['type']> = Extract<ToProcess, { type: T }>

interface Run {
  id: string
  /** For messages: `The plan of add-up`. */
  name: string
  stop: AbortController
  /** Rejects when the run fails, however that comes. */
  failed: PromiseWithResolvers<never>
  /** Units that wait to be sent together: those that come in one turn of the event loop. */
  units: UnitLine[]
  chars: number
  /** What was sent and not taken, line by line. */
  sent: Array<{ units: number; chars: number }>
  onTaken: () => void
  /** Resolves when all that was asked for is among `units`, or was sent: one at a time, as there is room. */
  added: Promise<void>
  calls: Map<number, Pick<PromiseWithResolvers<unknown>, 'resolve' | 'reject'>>
}

/** Of more it is no result but a mistake. */
const MOST_OUTPUT_CHARS = 32 * 1024 ** 2
/** Of an output, in one line. */
const PIECE_CHARS = 1024 ** 2

export function serveJobs(send: (message: FromProcess) => void): UserCodeServer {
  const runs = new Map<string, Run>()
  const current = new AsyncLocalStorage<Run>()
  /** In the pieces in which they came. */
  const outcomes = new Map<string, UnitOutcome[][]>()
  let jobs: LoadedJob[] = []

  function onLine(line: string): void {
    const message: ToProcess = JSON.parse(line)
    switch (message.type) {
      case 'hello':
        void hello(message)
        return
      case 'plan':
        begin(message, 'plan', run => plan(run, find(message.job), message.input))
        return
      case 'merge':
        begin(message, 'merge', () => merge(find(message.job), message))
        return
      case 'outcomes':
        onOutcomes(message)
        return
      case 'taken':
        onTaken(message)
        return
      case 'ran':
        onRan(message)
        return
      case 'cancel':
        cancel(message.id)
        return
      case 'ping':
        send({ type: 'pong' })
        return
    }
  }

  async function hello({ tasksDir }: Message<'hello'>): Promise<void> {
    const loaded = await loadJobs(tasksDir)
    jobs = loaded.jobs
    const described = jobs.map(({ job, file }) => {
      const { name, description, inputSchema, outputSchema, toleratesFailures } = job
      return { name, description, inputSchema, outputSchema, toleratesFailures, file }
    })
    send({ type: 'ready', jobs: described, leftOut: loaded.leftOut })
  }

  function find(name: string): DefinedJob {
    const found = jobs.find(({ job }) => job.name === name)
    if (!found) throw new ScError('SC_TASK_UNKNOWN', `No file of the tasks folder has a job ${name}.`)
    return found.job
  }

  function begin({ id, job }: Message<'plan' | 'merge'>, what: string, work: (run: Run) => Promise<FromProcess>): void {
    const failed = Promise.withResolvers<never>()
    const name = `The ${what} of ${job}`
    const stop = new AbortController()
    const ahead = { units: [], chars: 0, sent: [], onTaken: () => {}, added: Promise.resolve() }
    const run: Run = { id, name, stop, failed, ...ahead, calls: new Map() }
    runs.set(id, run)
    void current.run(run, async () => {
      try {
        const last = await Promise.race([work(run), failed.promise])
        sendUnits(run)
        if (runs.get(id) === run) send(last)
      } catch (thrown) {
        if (runs.get(id) === run) send({ type: 'failed', id, ...failureOf(thrown, name) })
      } finally {
        if (runs.get(id) === run) end(run)
      }
    })
  }

  /** Nothing of it counts any more; what goes on of it is told so. */
  function end(run: Run): void {
    runs.delete(run.id)
    const over = new ScError('SC_CANCELLED', `${run.name} is over`)
    run.stop.abort(over)
    for (const call of run.calls.values()) call.reject(over)
    run.calls.clear()
    run.onTaken()
  }

  function cancel(id: string): void {
    const run = runs.get(id)
    outcomes.delete(id)
    if (!run) return
    end(run)
    run.failed.reject(new ScError('SC_CANCELLED', `${run.name} was cancelled`))
  }

  async function plan(run: Run, job: DefinedJob, raw: unknown): Promise<FromProcess> {
    const { id, stop } = run
    const input = await parse('SC_TASK_INPUT', job.input, raw, `The input of ${job.name}`)
    let calls = 0
    async function ask(unit: JobUnit): Promise<unknown> {
      stop.signal.throwIfAborted()
      const { promise, ...answer } = Promise.withResolvers<unknown>()
      const call = calls++
      const asked = { ...checked(unit), call }
      run.calls.set(call, answer)
      void add(run, asked)
      return await promise
    }
    function runUnit(unit: JobUnit): Promise<unknown> {
      const output = ask(unit)
      // Whoever keeps the promise may await it later, or never: it is no stray one.
      output.catch(() => {})
      return output
    }
    for await (const unit of job.plan(input, { signal: stop.signal, run: runUnit })) {
      stop.signal.throwIfAborted()
      await add(run, { ...checked(unit), call: null })
    }
    // Units that it did not await.
    await run.added
    return { type: 'planned', id }
  }

  /** In the order in which it is called: that of the plan. */
  function add(run: Run, unit: UnitLine): Promise<void> {
    run.added = run.added.then(async () => {
      await untilTaken(run)
      run.chars += charsOf(unit)
      if (run.units.push(unit) === 1) setImmediate(sendUnits, run)
      if (isFull(run.units.length, run.chars, 2)) sendUnits(run)
    })
    return run.added
  }

  function sendUnits(run: Run): void {
    const { id, units, chars } = run
    if (units.length === 0 || runs.get(id) !== run) return
    run.units = []
    run.chars = 0
    run.sent.push({ units: units.length, chars })
    send({ type: 'units', id, units })
  }

  /** While the master is far behind, and the run is not over. */
  async function untilTaken(run: Run): Promise<void> {
    while (!run.stop.signal.aborted) {
      const units = run.sent.reduce((sum, line) => sum + line.units, run.units.length)
      const chars = run.sent.reduce((sum, line) => sum + line.chars, run.chars)
      if (!isFull(units, chars)) return
      const { promise, resolve } = Promise.withResolvers<void>()
      run.onTaken = resolve
      await promise
    }
  }

  function onTaken({ id }: Message<'taken'>): void {
    const run = runs.get(id)
    run?.sent.shift()
    run?.onTaken()
  }

  function onOutcomes({ id, units }: Message<'outcomes'>): void {
    const pieces = outcomes.get(id) ?? []
    outcomes.set(id, pieces)
    pieces.push(
      units.map(({ input, output, ...unit }) => ({
        ...unit,
        input: JSON.parse(input),
        output: JSON.parse(output ?? 'null')
      }))
    )
  }

  function onRan({ id, call, output, error }: Message<'ran'>): void {
    const run = runs.get(id)
    const answer = run?.calls.get(call)
    run?.calls.delete(call)
    if (error) answer?.reject(new ScError(error.code, error.detail, { retryable: false }))
    else answer?.resolve(JSON.parse(output ?? 'null'))
  }

  async function merge(job: DefinedJob, { id, input: raw }: Message<'merge'>): Promise<FromProcess> {
    const units = (outcomes.get(id) ?? []).flat()
    outcomes.delete(id)
    const input = await parse('SC_TASK_INPUT', job.input, raw, `The input of ${job.name}`)
    const answer = await job.merge(units, input)
    const output = await parse('SC_TASK_FAILED', job.output, answer, `The output of ${job.name}`)
    const changed = changedByJson(output ?? null, 'output')
    if (changed !== null) throw new ScError('SC_TASK_FAILED', `The output of ${job.name} is not valid: ${changed}`)
    const text = JSON.stringify(output ?? null)
    if (text.length > MOST_OUTPUT_CHARS) {
      const [has, most] = [text.length, MOST_OUTPUT_CHARS].map(chars => `${Math.ceil(chars / 1024 ** 2)} MB`)
      const next = 'Answer less, or keep what is large elsewhere and answer where.'
      throw new ScError(
        'SC_TASK_FAILED',
        `The output of ${job.name} has ${has} as JSON; ${most} are the most. ${next}`,
        {
          retryable: false
        }
      )
    }
    for (let at = 0; at < text.length; at += PIECE_CHARS)
      send({ type: 'output', id, text: text.slice(at, at + PIECE_CHARS) })
    return { type: 'merged', id }
  }

  return {
    onLine,
    log: (level, message) => send({ type: 'log', id: current.getStore()?.id ?? null, level, message }),
    onStray: thrown => {
      const run = current.getStore()
      // Nobody awaits what was stopped.
      if (run?.stop.signal.aborted) return
      if (run) run.failed.reject(thrown)
      else send({ type: 'log', id: null, level: 'error', message: `Nobody caught: ${textOf(thrown)}` })
    },
    refuseExit: code => {
      throw new ScError('SC_JOB_DIED', `${current.getStore()?.name ?? 'A job'} called process.exit(${code ?? ''}).`, {
        retryable: false
      })
    }
  }
}

/** Whether it is all that may be ahead, or one of so many parts of that. */
function isFull(units: number, chars: number, parts = 1): boolean {
  return units >= AHEAD / parts || chars >= AHEAD_CHARS / parts
}

function charsOf({ task, input }: UnitLine): number {
  return task.length + input.length
}

/** What a plan wants may be anything. */
function checked(unit: JobUnit): Pick<UnitLine, 'task' | 'input'> {
  const { task, input } = (unit ?? {}) as Partial<JobUnit>
  if (typeof task !== 'string')
    throw new ScError('SC_TASK_FAILED', 'A unit is { task, input }, with the name of a task.', { retryable: false })
  const changed = changedByJson(input ?? null, 'input')
  if (changed !== null) throw new ScError('SC_TASK_INPUT', `The input of a unit of ${task} is not valid: ${changed}`)
  const text = JSON.stringify(input ?? null)
  if (text.length > MOST_INPUT_CHARS) {
    const sizes = `${text.length} characters of JSON; ${MOST_INPUT_CHARS} are the most`
    const next = 'Write what is larger to a file, and pass where it is.'
    throw new ScError('SC_TASK_INPUT', `The input of a unit of ${task} has ${sizes}. ${next}`)
  }
  return { task, input: text }
}

async function parse(code: 'SC_TASK_INPUT' | 'SC_TASK_FAILED', schema: z.ZodType, value: unknown, what: string) {
  const parsed = await schema.safeParseAsync(value)
  if (parsed.success) return parsed.data
  throw new ScError(code, `${what} is not valid: ${faultsOf('it', parsed.error)}`)
}
