import { writtenLength } from './json-depth.ts'
import { printable } from './printable.ts'
import type { TaskDescription } from './python-protocol.ts'
import { excessOfSchema } from './schema-limits.ts'
import { isStepOfTranscription, TASK_NAME, TASK_NAME_RULE } from './task-name.ts'

/** Of one worker. What workers register is kept, read often and shown whole: it has to stay small. */
export const MOST_TASKS = 200
const MOST_DESCRIPTION_CHARS = 2_000
const MOST_FEATURES = 50
/** More than any card will have for a while. */
const MOST_VRAM_GB = 10_000
const MOST_SCHEMA_KB = 64
/** Of all tasks of a worker: with each registration the masters decide anew upon those of all. */
const MOST_KB_OF_ALL = 256

/** Why a task cannot be registered, in words; null: it can. */
export function excessOf(task: TaskDescription): string | null {
  const { name, description, features, vramGb, inputSchema, outputSchema } = task
  if (!TASK_NAME.test(name)) return `the name of a task: ${TASK_NAME_RULE}`
  const told = `the task ${name} has`
  if (vramGb < 0 || vramGb > MOST_VRAM_GB)
    return `${told} ${vramGb} GB of GPU memory to ask for; 0 to ${MOST_VRAM_GB} are possible`
  if (description.length > MOST_DESCRIPTION_CHARS)
    return `${told} a description of ${description.length} characters; ${MOST_DESCRIPTION_CHARS} are the most`
  if (features.length > MOST_FEATURES) return `${told} ${features.length} features; ${MOST_FEATURES} are the most`
  for (const [which, schema] of Object.entries({ input: inputSchema, output: outputSchema })) {
    const excess = excessOfSchema(schema)
    if (excess !== null) return `${told} an ${which} schema that ${excess}`
    const kilobytes = keptBytes(schema) / 1024
    if (kilobytes > MOST_SCHEMA_KB)
      return `${told} an ${which} schema of ${Math.ceil(kilobytes)} KB; ${MOST_SCHEMA_KB} KB are the most`
  }
  return null
}

/** As PostgreSQL keeps and answers it. */
function keptBytes(value: object): number {
  const json = JSON.stringify(value)
  return Buffer.byteLength(json) + writtenLength(json) - json.length
}

/** A task that a worker registered and the master left out. */
export interface RefusedTask {
  name: string
  reason: string
}

const MOST_NAME_CHARS = 100
/** Of one worker: enough to see what is wrong. */
const MOST_REFUSED_SHOWN = 20

/** The tasks that can be registered, in their order, and why the others cannot. */
export function sortTasks<Task extends TaskDescription>(tasks: Task[]): { accepted: Task[]; refused: RefusedTask[] } {
  const accepted: Task[] = []
  const refused: RefusedTask[] = []
  const names = new Set<string>()
  let bytesLeft = MOST_KB_OF_ALL * 1024
  const reasonAgainst = (task: TaskDescription, at: number): string | null => {
    if (at >= MOST_TASKS) return `there are ${MOST_TASKS} tasks already, the most`
    if (names.has(task.name)) return 'another task before it has the same name'
    if (task.builtIn && !isStepOfTranscription(task.name))
      return 'it is marked as one that every worker has, which only the steps of a transcription are'
    if (bytesLeft <= 0) return `the tasks before it have ${MOST_KB_OF_ALL} KB, the most of all together`
    return excessOf(task)
  }
  for (const [at, task] of tasks.entries()) {
    const reason = reasonAgainst(task, at)
    if (reason === null) {
      accepted.push(task)
      names.add(task.name)
      bytesLeft -= keptBytes(task)
    } else if (refused.length < MOST_REFUSED_SHOWN)
      refused.push({ name: printable(task.name.slice(0, MOST_NAME_CHARS)), reason: printable(reason) })
  }
  return { accepted, refused }
}
