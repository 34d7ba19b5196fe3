import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import { belongsTo, programOf } from '@sc/shared/processes.ts'
import { watchOwners } from '../probe/gpu-owner.ts'
import { type GpuLook, lookAtGpus } from '../probe/gpus.ts'
import type { LlmWatch } from '../probe/llm-server.ts'
import type { SlotPlanner } from '../probe/slot-plan.ts'
import { untilAborted } from '../until-aborted.ts'
import type { SlotSet } from './slot-set.ts'

/** nvidia-smi fails now and then, while a driver is updated for longer: only so many failures in a row mean no GPU. */
const FAILURES_TO_BELIEVE = 3
const NO_GPUS: GpuLook = { gpus: [], processes: [] }

export interface FollowDeps {
  planner: SlotPlanner
  slots: SlotSet
  everyMs: number
  onGpus(gpus: Gpu[]): void
  llm: LlmWatch
  /** It came or went. */
  onLlm(): void
  log: Logger
}

/**
 * Looks at the GPUs and for an LLM server every `everyMs`: slots come and go with them, and a GPU that its owner uses takes
 * no new unit.
 * Resolves after the first look, with the slots there. Answers how to stop.
 */
export async function followGpus({
  planner,
  slots,
  everyMs,
  onGpus,
  llm,
  onLlm,
  log
}: FollowDeps): Promise<() => Promise<void>> {
  const stopping = new AbortController()
  const childPids = (): number[] => slots.slots().flatMap(slot => slot.childPids)
  let ours: ReadonlySet<number> = new Set()
  const usedByOwner = watchOwners({ isOurs: pid => belongsTo(pid, ours), programOf })
  let failures = 0
  let last = NO_GPUS

  async function look(): Promise<void> {
    const before = childPids()
    const [seen, llmChanged] = await untilAborted(Promise.all([lookAtGpus(), llm.look()]), stopping.signal)
    // A child may have been replaced while nvidia-smi looked: it saw the one or the other.
    ours = new Set([...before, ...childPids()])
    failures = seen ? 0 : failures + 1
    try {
      if (seen) await apply(seen)
      else if (failures === FAILURES_TO_BELIEVE) await apply(NO_GPUS)
      else if (llmChanged) await slots.follow(planner(last.gpus, llm.isThere()))
    } finally {
      // It is said once: the next look finds nothing changed.
      if (llmChanged) onLlm()
    }
  }

  async function apply(seen: GpuLook): Promise<void> {
    last = seen
    onGpus(seen.gpus)
    const reserved = usedByOwner(seen, slots.idleGpus())
    await slots.follow(planner(seen.gpus, llm.isThere()))
    slots.reserve(reserved)
  }

  async function run(): Promise<void> {
    for (;;) {
      await pause(everyMs, stopping.signal)
      if (stopping.signal.aborted) return
      try {
        await look()
      } catch (error) {
        if (!stopping.signal.aborted) log.error({ err: error }, 'A look at the GPUs failed')
      }
    }
  }

  const [seen] = await Promise.all([lookAtGpus(), llm.look()])
  await apply(seen ?? NO_GPUS)
  const running = run()
  return () => {
    stopping.abort()
    return running
  }
}
