import { networkInterfaces } from 'node:os'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import { type Model, modelsIn } from '@sc/shared/models.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { probeLoad, probeMachine } from '../probe/machine.ts'
import { tailnetAddress } from '../probe/tailnet-address.ts'
import { WORKER_VERSION } from '../probe/version.ts'
import type { Outcome } from '../slots/attempt.ts'
import type { SlotSet } from '../slots/slot-set.ts'
import type { Ready } from '../tasks/task-process.ts'
import type { OwnPresence } from './presence.ts'

/** Costs a pass over /proc: less often than presence is written. */
const LOAD_EVERY_MS = 5_000

export interface Row {
  /** `findings`: what its doctor finds. */
  read(slots: SlotSet, findings: Finding[]): OwnPresence
  setGpus(gpus: Gpu[]): void
  /** Something on the machine is another than at the last look. */
  look(): void
  onReady(ready: Ready): void
  onOutcome(outcome: Outcome): void
  stop(): void
}

/** Keeps what presence says of this worker. */
export async function createRow(who: { id: string; name: string; hostname: string }, modelsDir: string): Promise<Row> {
  const machine = await probeMachine()
  let gpus: Gpu[] = []
  let load = await probeLoad()
  let libraries: Record<string, string> = { node: process.versions.node }
  let tasks: string[] = []
  let models: Model[] = await modelsIn(modelsDir)
  let unitsDone = 0
  let unitsFailed = 0
  let probing = false

  async function probe(): Promise<void> {
    if (probing) return
    probing = true
    try {
      load = await probeLoad()
      models = await modelsIn(modelsDir)
    } finally {
      probing = false
    }
  }
  const look = (): void => void probe().catch(() => {})
  const timer = setInterval(look, LOAD_EVERY_MS)

  const read = (slots: SlotSet, findings: Finding[]): OwnPresence => ({
    ...who,
    status: slots.held() === null ? 'online' : 'draining',
    reason: slots.held(),
    version: WORKER_VERSION,
    protocol: PROTOCOL_VERSION,
    os: machine.os,
    cpu: { ...machine.cpu, load: load.load },
    ram: { ...machine.ram, availableGb: load.availableGb },
    gpus,
    libraries,
    tailscale: tailnetAddress(networkInterfaces()),
    queues: slots.queueNames(),
    slots: slots.slots().map(slot => slot.state),
    tasks,
    models,
    findings,
    figures: {
      unitsDone,
      unitsFailed,
      rssBytes: process.memoryUsage.rss(),
      pythonRssBytes: slots.slots().reduce((bytes, slot) => bytes + slot.childRssBytes, 0)
    }
  })

  return {
    read,
    setGpus: found => {
      gpus = found
    },
    look,
    onReady: ready => {
      libraries = { node: process.versions.node, ...ready.versions }
      tasks = ready.tasks.map(task => task.name)
    },
    onOutcome: outcome => {
      if (outcome.type === 'result') unitsDone++
      if (outcome.type === 'error' && outcome.error.code !== 'SC_CANCELLED') unitsFailed++
    },
    stop: () => clearInterval(timer)
  }
}
