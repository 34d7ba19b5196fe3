import { createLog } from '@sc/shared/log.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { probeGpus } from '../probe/gpus.ts'
import { probeMachine } from '../probe/machine.ts'
import { planSlots } from '../probe/slot-plan.ts'
import { WORKER_VERSION } from '../probe/version.ts'
import { CPU_SLOT, withSlotTasks } from '../tasks/with-slot-tasks.ts'
import { type Flags, readSettings } from './flags.ts'

/** `sc-worker probe`: what this machine can do, as JSON. */
export async function probe(flags: Flags): Promise<number> {
  const { config, name, wishes } = readSettings(flags)
  const log = createLog(`worker ${name}`, config.logLevel)
  const [machine, gpus] = await Promise.all([probeMachine(), probeGpus()])
  const slots = planSlots(gpus, wishes)
  const { modelsDir, tasksDir } = config
  const slot = slots[0] ?? CPU_SLOT
  const python = await withSlotTasks({ slot, modelsDir, tasksDir, log }, (_tasks, ready) =>
    Promise.resolve({ libraries: ready.versions, tasks: ready.tasks.map(task => task.name), pythonError: null })
  ).catch((error: Error) => ({ libraries: {}, tasks: [], pythonError: error.message }))
  const { pythonError, ...found } = python
  const capabilities = {
    name,
    version: WORKER_VERSION,
    protocol: PROTOCOL_VERSION,
    ...machine,
    gpus,
    ...found,
    libraries: { node: process.versions.node, ...found.libraries },
    queues: [...new Set(slots.flatMap(slot => slot.queues))],
    slots: slots.map(({ id, device, queues }) => ({ id, device, queues })),
    ...(pythonError === null ? {} : { pythonError })
  }
  process.stdout.write(`${JSON.stringify(capabilities, null, 2)}\n`)
  return 0
}
