/**
 * DESIGN: the task processes of one slot as one. The Python process is always there; the Node process is where the tasks
 * folder has TypeScript or JavaScript files.
 *
 * - `start` starts what is not there or has died, and answers the same object: a Node task that ends its process leaves
 *   Python's loaded models alone. `ready` is of the last start.
 * - `reload` looks whether files of the folder changed. If so, the state is dead as soon as no process runs a unit or
 *   starts: the slot then starts anew, and only the process of the language that changed is another.
 * - `lookAgain` does the same, with no new process, where a task needs the LLM server that came or went.
 * - state: the first of dead, starting, running, ready that one of the processes is in.
 * - A file of a user may end the process that imports it, or hold it up: then Node is left out, and Python started without
 *   the folder, with the reason, until a file changes. They must not take transcription with them.
 * - A run goes to the process that has its task. Offered is what the slot can run (`lackOf`); of two tasks of one name
 *   the one whose file comes first.
 * `stop` and `kill` end both. Another language is another process here.
 */

import type { Command } from '@sc/shared/children/process-group.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { LeftOut, TaskDescription } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles, pythonTaskFiles, type Stamps, stampsOf } from '@sc/shared/task-files.ts'
import { excessOf, MOST_TASKS } from '@sc/shared/task-limits.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'
import { asksForLlm, lackOf } from './lack.ts'
import { nodeCommand, nodeEnv } from './node-command.ts'
import type { Answer, Run } from './run.ts'
import { type Ready, TaskProcess } from './task-process.ts'

export interface SlotTasksOptions {
  slot: Pick<SlotPlan, 'device' | 'classes' | 'queues'>
  python: Command
  /** Of the Python process that is about to start. */
  env: () => Record<string, string>
  modelsDir: string
  tasksDir: string | null
  /** Of the Python process that is about to start: see `ProcessOptions`. */
  maxRssBytes?: () => number
  /** Whether a local LLM server answers. Default: none does. */
  hasLlm?: () => boolean
  log: Logger
}

const STATES = ['dead', 'starting', 'running', 'ready'] as const

export class SlotTasks {
  ready: Promise<Ready> = Promise.reject(new ScError('SC_CHILD_DIED', 'the processes were not started'))
  /** Tasks that this slot cannot run, and what it lacks; after `ready`. */
  notOffered: Array<{ task: TaskDescription; lack: string }> = []
  /** Files, or tasks of one, that are not offered; after `ready`. */
  leftOut: LeftOut[] = []
  readonly #options: SlotTasksOptions
  #python: TaskProcess | undefined
  #node: TaskProcess | undefined
  /** Of the files that were there at the last start. */
  #stamps: Stamps = { python: '', node: '' }
  #changed = false
  #asksForLlm = false
  #outdated = false
  #stopped = false
  #processOf = new Map<string, TaskProcess>()

  constructor(options: SlotTasksOptions) {
    this.#options = options
    this.ready.catch(() => {})
  }

  get state(): TaskProcess['state'] {
    const states = this.#processes.map(process => process.state)
    if ((this.#changed || this.#outdated) && !states.includes('running') && !states.includes('starting')) return 'dead'
    return STATES.find(state => states.includes(state)) ?? 'dead'
  }

  /** Of all processes that live. */
  get memory(): TaskProcess['memory'] {
    const living = this.#processes.filter(process => process.state !== 'dead').map(process => process.memory)
    const vram = living.flatMap(({ vramBytes }) => vramBytes ?? [])
    return { rssBytes: sum(living.map(({ rssBytes }) => rssBytes)), vramBytes: vram.length > 0 ? sum(vram) : null }
  }

  get pids(): number[] {
    return this.#processes.flatMap(({ pid }) => pid ?? [])
  }

  start = (): this => {
    const { tasksDir } = this.#options
    this.#stopped = false
    this.#endChanged()
    if (isGone(this.#python)) this.#python = this.#startPython(tasksDir)
    if (!tasksDir || nodeTaskFiles(tasksDir).length === 0) this.#node = undefined
    else if (isGone(this.#node)) this.#node = this.#startNode(tasksDir)
    this.ready = this.#join(this.#python, this.#node)
    this.ready.catch(() => {})
    return this
  }

  /** Files of the tasks folder may have changed. */
  reload = (): void => {
    const now = stampsOf(this.#options.tasksDir)
    this.#changed = now.python !== this.#stamps.python || now.node !== this.#stamps.node
  }

  /** The LLM server came or went. */
  lookAgain = (): void => {
    this.#outdated = this.#asksForLlm
  }

  /** Runs one task. Rejects as `TaskProcess.run` does, and with SC_TASK_UNKNOWN. */
  async run(run: Run): Promise<Answer> {
    const process = this.#processOf.get(run.task)
    if (!process) throw new ScError('SC_TASK_UNKNOWN', `This slot has no task ${run.task}.`)
    return process.run(run)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#processes.map(process => process.stop()))
  }

  kill(reason: string): void {
    this.#stopped = true
    for (const process of this.#processes) process.kill(reason)
  }

  get #processes(): TaskProcess[] {
    return [this.#python, this.#node].filter(process => process !== undefined)
  }

  /** Ends what has other files than there are now. Nothing runs: it need not be asked. */
  #endChanged(): void {
    const now = stampsOf(this.#options.tasksDir)
    if (now.python !== this.#stamps.python) {
      this.#python?.kill('its tasks have changed')
      this.#python = undefined
    }
    if (now.node !== this.#stamps.node) {
      this.#node?.kill('its tasks have changed')
      this.#node = undefined
    }
    this.#stamps = now
    this.#changed = false
    this.#outdated = false
  }

  #startPython(tasksDir: string | null): TaskProcess {
    const { slot, python: command, env, modelsDir, maxRssBytes, log } = this.#options
    const how = { command, env: env(), device: slot.device, modelsDir, tasksDir, maxRssBytes: maxRssBytes?.() }
    return new TaskProcess({ language: 'Python', ...how, log })
  }

  #startNode(tasksDir: string): TaskProcess {
    const { device } = this.#options.slot
    const how = { command: nodeCommand(), env: nodeEnv(device), device, modelsDir: null, tasksDir }
    return new TaskProcess({ language: 'Node', ...how, log: this.#options.log })
  }

  async #join(python: TaskProcess, node: TaskProcess | undefined): Promise<Ready> {
    const [first, second] = await Promise.all([this.#pythonReady(python), node && this.#nodeReady(node)])
    const leftOut = [...first.leftOut, ...(second?.leftOut ?? [])]
    const found = [
      ...first.tasks.map(task => ({ task, process: this.#python as TaskProcess })),
      ...(second?.tasks ?? []).map(task => ({ task, process: node as TaskProcess }))
    ].sort((a, b) => compare(a.task.file ?? '', b.task.file ?? ''))
    const offered = new Map<string, { task: TaskDescription; process: TaskProcess }>()
    const fileOf = new Map<string, string | null | undefined>()
    this.notOffered = []
    this.#asksForLlm = found.some(({ task }) => asksForLlm(task))
    const { slot, hasLlm } = this.#options
    for (const each of found) {
      const { task } = each
      if (fileOf.has(task.name)) {
        leftOut.push({ file: task.file ?? '', reason: twice(task.name, fileOf.get(task.name)) })
        continue
      }
      const excess = fileOf.size < MOST_TASKS ? excessOf(task) : `there are ${MOST_TASKS} tasks already, the most`
      if (excess !== null) {
        leftOut.push({ file: task.file ?? '', reason: excess })
        continue
      }
      fileOf.set(task.name, task.file)
      const lack = lackOf(task, slot, { hasLlm: hasLlm?.() ?? false })
      if (lack) this.notOffered.push({ task, lack })
      else offered.set(task.name, each)
    }
    this.#processOf = new Map([...offered].map(([name, { process }]) => [name, process]))
    this.#tell(leftOut)
    const versions = { ...second?.versions, ...first.versions }
    return { ...first, tasks: [...offered.values()].map(({ task }) => task), versions, leftOut }
  }

  async #pythonReady(python: TaskProcess): Promise<Ready> {
    try {
      return await python.ready
    } catch (error) {
      const { tasksDir } = this.#options
      const files = tasksDir ? pythonTaskFiles(tasksDir) : []
      if (files.length === 0 || this.#stopped) throw error
      this.#python = this.#startPython(null)
      return { ...(await this.#python.ready), leftOut: allLeftOut(files, error) }
    }
  }

  async #nodeReady(node: TaskProcess): Promise<Pick<Ready, 'tasks' | 'versions' | 'leftOut'>> {
    try {
      return await node.ready
    } catch (error) {
      if (this.#node === node) this.#node = undefined
      const files = nodeTaskFiles(this.#options.tasksDir as string)
      return { tasks: [], versions: {}, leftOut: allLeftOut(files, error) }
    }
  }

  #tell(leftOut: LeftOut[]): void {
    const { log } = this.#options
    this.leftOut = leftOut
    for (const { file, reason } of leftOut) log.error({ file }, `Of the tasks folder, ${file} is left out: ${reason}`)
    for (const { task, lack } of this.notOffered)
      log.info({ task: task.name, file: task.file }, `The task ${task.name} is not offered here: ${lack}`)
  }
}

function allLeftOut(files: string[], error: unknown): LeftOut[] {
  return files.map(file => ({ file, reason: toScError(error).message }))
}

/** Why a file, or its second task of a name, is left out. */
function twice(name: string, otherFile: string | null | undefined): string {
  return `the task ${name} is in ${otherFile ?? 'the worker itself'} already`
}

function isGone(process: TaskProcess | undefined): process is undefined {
  return process === undefined || process.state === 'dead'
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
