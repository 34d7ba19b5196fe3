import { ScError } from '@sc/shared/errors.ts'
import { nearNames } from '@sc/shared/near-names.ts'
import { isStepOfTranscription } from '@sc/shared/task-name.ts'
import type { RegisteredTask, TaskRegistry } from './task-registry.ts'

/** Characters. */
const MOST_LEFT_OUT = 2_000
const IN_THE_LOG = 'The log of a worker (of a job: of the master) says why a file of its SC_TASKS_DIR was left out.'

/** SC_TASK_UNKNOWN, with the names that are near; SC_TASK_UNFIT: a worker has it, and it was left out. */
export async function findTask(tasks: TaskRegistry, name: string): Promise<RegisteredTask> {
  const task = await tasks.find(name)
  if (task) return task
  if (name === 'transcribe' || isStepOfTranscription(name))
    throw new ScError('SC_TASK_UNKNOWN', `"${name}" is not a task of its own: send the recording to POST /transcribe.`)
  const refused = (await tasks.refused()).find(left => left.name === name)
  if (refused)
    throw new ScError(
      'SC_TASK_UNFIT',
      `The task "${name}" of the worker ${refused.worker} was left out: ${refused.reason}. ${refused.next}`
    )
  const names = (await tasks.list()).map(known => known.name)
  const near = nearNames(name, names, Math.max(2, Math.floor(name.length / 3)))
  const hints = [`There is no task "${name}".`]
  if (near.length > 0) hints.push(`Did you mean ${near.slice(0, 3).join(' or ')}?`)
  else
    hints.push(
      names.length > 0 ? `There are: ${names.slice(0, 20).join(', ')}.` : 'No worker has registered a task yet.'
    )
  const leftOut = tasks.leftOut().join('; ')
  if (leftOut) hints.push(`Workers leave files of their tasks folders out: ${leftOut.slice(0, MOST_LEFT_OUT)}`)
  else if (near.length === 0) hints.push(IN_THE_LOG)
  throw new ScError('SC_TASK_UNKNOWN', hints.join(' '))
}
