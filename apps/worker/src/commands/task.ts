import { ScError } from '@sc/shared/errors.ts'
import { createLog } from '@sc/shared/log.ts'
import { probeGpus } from '../probe/gpus.ts'
import { createSlotPlanner } from '../probe/slot-plan.ts'
import { withChild } from '../python/with-child.ts'
import { type Flags, readSettings } from './flags.ts'
import { listenForStop } from './stop-signals.ts'

const DEADLINE_MS = 24 * 60 * 60 * 1000

/** `sc-worker task run NAME JSON`: runs a task on this machine's first slot, with no cluster, and prints its output. */
export async function taskRun(task: string, json: string, flags: Flags): Promise<number> {
  const { config, name, wishes } = readSettings(flags)
  const log = createLog(`worker ${name}`, config.logLevel)
  const input = parseInput(json)
  const gpus = await probeGpus()
  const device = createSlotPlanner(gpus, wishes)(gpus)[0]?.device ?? 'cpu'
  const stop = listenForStop()
  try {
    const { output } = await withChild({ device, modelsDir: config.modelsDir, log }, (child, ready) => {
      const names = ready.tasks.map(known => known.name)
      if (!names.includes(task))
        throw new ScError('SC_TASK_UNKNOWN', `There is no task ${task}; there are ${names.join(', ') || 'none'}.`)
      return child.run({
        id: 'local',
        task,
        input,
        deadlineMs: DEADLINE_MS,
        signal: stop.first,
        onProgress: ({ fraction }) => log.debug({ fraction }, 'Progress'),
        onLog: ({ level, message }) => log[level](message)
      })
    })
    process.stdout.write(`${JSON.stringify(output)}\n`)
    return 0
  } catch (error) {
    if (stop.first.aborted) return 130
    throw error
  } finally {
    stop.unlisten()
  }
}

function parseInput(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new ScError('SC_CONFIG', `The input is not JSON: ${(error as Error).message}`)
  }
}
