import { createLog } from '@sc/shared/log.ts'
import { printJson } from '@sc/shared/printable.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { probeGpus } from '../probe/gpus.ts'
import { llmServerAnswers } from '../probe/llm-server.ts'
import { probeMachine } from '../probe/machine.ts'
import { createSlotPlanner, queuesOf } from '../probe/slot-plan.ts'
import { WORKER_VERSION } from '../probe/version.ts'
import { wholeMachine, withSlotTasks } from '../tasks/with-slot-tasks.ts'
import { type Flags, readSettings } from './flags.ts'

/** `sc-worker probe`: what this machine can do, as JSON. */
export async function probe(flags: Flags): Promise<number> {
  const { config, name, wishes } = readSettings(flags)
  const log = createLog(`worker ${name}`, config.logLevel)
  const [machine, gpus, hasLlm] = await Promise.all([probeMachine(), probeGpus(), llmServerAnswers()])
  const planned = createSlotPlanner(gpus, wishes)(gpus, hasLlm)
  const { modelsDir, tasksDir } = config
  const slot = wholeMachine(planned)
  const python = await withSlotTasks({ slot, modelsDir, tasksDir, log }, (_tasks, ready) =>
    Promise.resolve({ libraries: ready.versions, tasks: ready.tasks, pythonError: null })
  ).catch((error: Error) => ({ libraries: {}, tasks: [], pythonError: error.message }))
  const { libraries, tasks, pythonError } = python
  const slots = planned.map(plan => {
    const { id, device } = plan
    return { id, device, queues: queuesOf(plan, tasks) }
  })
  const capabilities = {
    name,
    version: WORKER_VERSION,
    protocol: PROTOCOL_VERSION,
    ...machine,
    gpus,
    libraries: { node: process.versions.node, ...libraries },
    tasks: tasks.map(task => task.name),
    queues: [...new Set(slots.flatMap(slot => slot.queues))],
    slots,
    ...(pythonError === null ? {} : { pythonError })
  }
  printJson(capabilities)
  return 0
}
