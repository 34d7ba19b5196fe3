/**
 * DESIGN: the task processes of one slot as one. The Python process is always there; the Node process is where the tasks
 * folder has TypeScript or JavaScript files.
 *
 * - `start` starts what is not there or has died, and answers the same object: a Node task that ends its process leaves
 *   Python's loaded models alone. `ready` is of the last start.
 * - state: the first of dead, starting, running, ready that one of the processes is in. A Node process that cannot even
 *   start is left out, with the reason, until the next start: the tasks of a user must not take transcription with them.
 * - A run goes to the process that has its task. Offered is what the slot can run (`lackOf`); of two tasks of one name
 *   the one whose file comes first.
 * `stop` and `kill` end both. Another language is another process here.
 */
import { ScError, toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { LeftOut, TaskDescription } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles } from '@sc/shared/task-files.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'
import { lackOf } from './lack.ts'
import { nodeCommand, nodeEnv } from './node-command.ts'
import type { Command } from './process-group.ts'
import { type Answer, type Ready, type Run, TaskProcess } from './task-process.ts'

export interface SlotTasksOptions {
  slot: Pick<SlotPlan, 'device' | 'queues'>
  python: Command
  /** Of the Python process. */
  env: Record<string, string>
  modelsDir: string
  tasksDir: string | null
  log: Logger
}

const STATES = ['dead', 'starting', 'running', 'ready'] as const

export class SlotTasks {
  ready: Promise<Ready> = Promise.reject(new ScError('SC_CHILD_DIED', 'the processes were not started'))
  /** Tasks that this slot cannot run, and what it lacks; after `ready`. */
  notOffered: Array<{ task: TaskDescription; lack: string }> = []
  readonly #options: SlotTasksOptions
  #python: TaskProcess | undefined
  #node: TaskProcess | undefined
  #processOf = new Map<string, TaskProcess>()

  constructor(options: SlotTasksOptions) {
    this.#options = options
    this.ready.catch(() => {})
  }

  get state(): TaskProcess['state'] {
    const states = this.#processes.map(process => process.state)
    return STATES.find(state => states.includes(state)) ?? 'dead'
  }

  /** Of all processes that live. */
  get memory(): TaskProcess['memory'] {
    const living = this.#processes.filter(process => process.state !== 'dead').map(process => process.memory)
    const vram = living.flatMap(({ vramBytes }) => vramBytes ?? [])
    return { rssBytes: sum(living.map(({ rssBytes }) => rssBytes)), vramBytes: vram.length > 0 ? sum(vram) : null }
  }

  start = (): this => {
    const { python, env, tasksDir, slot } = this.#options
    if (isGone(this.#python)) this.#python = this.#startProcess('Python', python, env)
    if (!tasksDir || nodeTaskFiles(tasksDir).length === 0) this.#node = undefined
    else if (isGone(this.#node)) this.#node = this.#startProcess('Node', nodeCommand(), nodeEnv(slot.device))
    this.ready = this.#join(this.#python, this.#node)
    this.ready.catch(() => {})
    return this
  }

  /** Runs one task. Rejects as `TaskProcess.run` does, and with SC_TASK_UNKNOWN. */
  async run(run: Run): Promise<Answer> {
    const process = this.#processOf.get(run.task)
    if (!process) throw new ScError('SC_TASK_UNKNOWN', `This slot has no task ${run.task}.`)
    return process.run(run)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map(process => process.stop()))
  }

  kill(reason: string): void {
    for (const process of this.#processes) process.kill(reason)
  }

  get #processes(): TaskProcess[] {
    return [this.#python, this.#node].filter(process => process !== undefined)
  }

  #startProcess(language: 'Python' | 'Node', command: Command, env: Record<string, string>): TaskProcess {
    const { slot, modelsDir, tasksDir, log } = this.#options
    return new TaskProcess({ language, command, env, device: slot.device, modelsDir, tasksDir, log })
  }

  async #join(python: TaskProcess, node: TaskProcess | undefined): Promise<Ready> {
    const [first, second] = await Promise.all([python.ready, node && this.#nodeReady(node)])
    const leftOut = [...first.leftOut, ...(second?.leftOut ?? [])]
    const found = [
      ...first.tasks.map(task => ({ task, process: python })),
      ...(second?.tasks ?? []).map(task => ({ task, process: node as TaskProcess }))
    ].sort((a, b) => compare(a.task.file ?? '', b.task.file ?? ''))
    const offered = new Map<string, { task: TaskDescription; process: TaskProcess }>()
    this.notOffered = []
    for (const each of found) {
      const { task } = each
      const other = offered.get(task.name)?.task
      const lack = lackOf(task, this.#options.slot)
      if (other) leftOut.push({ file: task.file ?? '', reason: twice(task.name, other.file) })
      else if (lack) this.notOffered.push({ task, lack })
      else offered.set(task.name, each)
    }
    this.#processOf = new Map([...offered].map(([name, { process }]) => [name, process]))
    this.#tell(leftOut)
    const versions = { ...second?.versions, ...first.versions }
    return { ...first, tasks: [...offered.values()].map(({ task }) => task), versions, leftOut }
  }

  async #nodeReady(node: TaskProcess): Promise<Pick<Ready, 'tasks' | 'versions' | 'leftOut'>> {
    try {
      return await node.ready
    } catch (error) {
      if (this.#node === node) this.#node = undefined
      const reason = toScError(error).message
      const files = nodeTaskFiles(this.#options.tasksDir as string)
      return { tasks: [], versions: {}, leftOut: files.map(file => ({ file, reason })) }
    }
  }

  #tell(leftOut: LeftOut[]): void {
    const { log } = this.#options
    for (const { file, reason } of leftOut) log.error({ file }, `Of the tasks folder, ${file} is left out: ${reason}`)
    for (const { task, lack } of this.notOffered)
      log.info({ task: task.name, file: task.file }, `The task ${task.name} is not offered here: ${lack}`)
  }
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
