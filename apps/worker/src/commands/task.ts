import { ScError } from '@sc/shared/errors.ts'
import { createLog } from '@sc/shared/log.ts'
import { print, printable, printError, printJson } from '@sc/shared/printable.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import { probeGpus } from '../probe/gpus.ts'
import { createSlotPlanner } from '../probe/slot-plan.ts'
import type { SlotTasks } from '../tasks/slot-tasks.ts'
import type { Ready } from '../tasks/task-process.ts'
import { wholeMachine, withSlotTasks } from '../tasks/with-slot-tasks.ts'
import { type Flags, NO_TASKS_DIR, readSettings } from './flags.ts'
import { listenForStop } from './stop-signals.ts'

const DEADLINE_MS = 24 * 60 * 60 * 1000

/** `sc-worker task run NAME JSON`: runs a task on this machine's first slot, with no cluster, and prints its output. */
export async function taskRun(task: string, json: string, flags: Flags): Promise<number> {
  const { config, name, wishes } = readSettings(flags)
  const log = createLog(`worker ${name}`, config.logLevel)
  const input = parseInput(json)
  const gpus = await probeGpus()
  const slot = wholeMachine(createSlotPlanner(gpus, wishes)(gpus))
  const { modelsDir, tasksDir } = config
  const stop = listenForStop()
  try {
    const { output } = await withSlotTasks({ slot, modelsDir, tasksDir, log }, (tasks, ready) => {
      if (!ready.tasks.some(known => known.name === task)) throw noTask(task, tasks, ready, tasksDir)
      return tasks.run({
        id: 'local',
        task,
        input,
        deadlineMs: DEADLINE_MS,
        signal: stop.first,
        onProgress: ({ fraction }) => log.debug({ fraction }, 'Progress'),
        onLog: ({ level, message, fields }) => log[level](fields ?? {}, message)
      })
    })
    printJson(output, 0)
    return 0
  } catch (error) {
    if (stop.first.aborted) return 130
    throw error
  } finally {
    stop.unlisten()
  }
}

/** `sc-worker task list`: the tasks of this machine, what they need, and the files that are left out. Answers 1 when one is. */
export async function taskList(flags: Flags): Promise<number> {
  const { config, name, wishes } = readSettings(flags)
  const { modelsDir, tasksDir } = config
  const log = createLog(`worker ${name}`, 'silent')
  const gpus = await probeGpus()
  const slot = wholeMachine(createSlotPlanner(gpus, wishes)(gpus))
  return await withSlotTasks({ slot, modelsDir, tasksDir, log }, async ({ notOffered }, ready) => {
    const offered = ready.tasks.map(task => ({ task, lack: '' }))
    const rows = [...offered, ...notOffered].map(({ task, lack }) =>
      [task.name, needsOf(task), task.file ?? 'built in', lack ? `not offered here: ${lack}` : task.description].map(
        printable
      )
    )
    const widths = [0, 1, 2].map(column => Math.max(...rows.map(row => (row[column] as string).length)))
    for (const row of rows)
      print(
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`
      )
    for (const { file, reason } of ready.leftOut) print(`left out: ${file}: ${reason}\n`)
    if (!tasksDir) printError(`${NO_TASKS_DIR}\n`)
    return ready.leftOut.length > 0 ? 1 : 0
  })
}

function needsOf({ gpu, vramGb, features }: TaskDescription): string {
  const device = vramGb > 0 ? `gpu ${vramGb} GB` : gpu ? 'gpu' : 'cpu'
  return [device, ...features].join(', ')
}

function noTask(
  name: string,
  { notOffered }: SlotTasks,
  { tasks, leftOut }: Ready,
  tasksDir: string | undefined
): ScError {
  const lack = notOffered.find(({ task }) => task.name === name)?.lack
  if (lack) return new ScError('SC_TASK_UNKNOWN', `The task ${name} is not offered here: ${lack}.`)
  const lines = [`There is no task ${name}; there are ${tasks.map(task => task.name).join(', ') || 'none'}.`]
  for (const { file, reason } of leftOut) lines.push(`${file} is left out: ${reason}`)
  lines.push(tasksDir ? `Looked in ${tasksDir}; a job (defineJob) runs on a cluster alone.` : NO_TASKS_DIR)
  return new ScError('SC_TASK_UNKNOWN', lines.join('\n'))
}

function parseInput(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new ScError('SC_CONFIG', `The input is not JSON: ${(error as Error).message}`)
  }
}
