/**
 * DESIGN: owner first. Whoever works or plays at a machine goes before the cluster: a GPU that somebody else's process uses
 * takes no new unit until CLEAN_LOOKS looks in a row found nothing.
 *
 *   free --somebody uses it--> reserved --CLEAN_LOOKS clean looks in a row--> free
 *
 * Somebody uses it when
 * - compute processes that are not ours hold more than `LIMIT_GB`, or LIMIT_SHARE of the card if that is less. A unit is
 *   sent to a card because its class fits into it, so less memory than that must be missing: 1 GB on a large card, a tenth
 *   on a small one. What runs all the time on a desktop (a browser, a video player) stays below.
 * - more memory than that is taken and belongs to no compute process, and the card is busy while our slot is not, at two
 *   looks in a row: graphics, which the driver does not list. Only busy: a desktop with large screens takes memory too.
 */
import type { Gpu } from '@sc/shared/presence.ts'
import type { GpuLook, GpuProcess } from './gpus.ts'

const CLEAN_LOOKS = 2
const LIMIT_GB = 1
const LIMIT_SHARE = 0.1
/** Percent. A video or a window being moved stay below, a game does not. */
const BUSY_PERCENT = 30

export interface GpuOwnerDeps {
  isOurs(pid: number): boolean
  /** The name of its program, if it is known. */
  programOf(pid: number): string | null
}

/** Answers, look by look, the reserved GPUs by UUID with the reason; `idle`: those of which our slot runs nothing. */
export function watchOwners(deps: GpuOwnerDeps): (look: GpuLook, idle: ReadonlySet<string>) => Map<string, string> {
  let reserved = new Map<string, { reason: string; cleanLooks: number }>()
  let busyBefore: ReadonlySet<string> = new Set()

  return ({ gpus, processes }, idle) => {
    const next: typeof reserved = new Map()
    const busyNow = new Set<string>()
    for (const gpu of gpus) {
      const own = processes.filter(({ gpuUuid }) => gpuUuid === gpu.uuid)
      const graphics = idle.has(gpu.uuid) ? busyWithGraphics(gpu, own) : null
      if (graphics) busyNow.add(gpu.uuid)
      const was = reserved.get(gpu.uuid)
      const reason = usedByProcess(gpu, own, deps) ?? (was || busyBefore.has(gpu.uuid) ? graphics : null)
      if (reason) next.set(gpu.uuid, { reason, cleanLooks: 0 })
      else if (was && was.cleanLooks + 1 < CLEAN_LOOKS) next.set(gpu.uuid, { ...was, cleanLooks: was.cleanLooks + 1 })
    }
    reserved = next
    busyBefore = busyNow
    return new Map([...reserved].map(([uuid, { reason }]) => [uuid, reason]))
  }
}

function usedByProcess(gpu: Gpu, processes: GpuProcess[], { isOurs, programOf }: GpuOwnerDeps): string | null {
  const others = processes
    .flatMap(({ pid, usedGb }) => (usedGb === null ? [] : { pid, usedGb }))
    .filter(({ pid }) => !isOurs(pid))
    .sort((a, b) => b.usedGb - a.usedGb)
  const [largest, ...more] = others
  const usedGb = others.reduce((sum, other) => sum + other.usedGb, 0)
  if (!largest || usedGb <= limitGb(gpu)) return null
  const program = programOf(largest.pid)
  const who = `process ${largest.pid}${program ? ` (${program})` : ''}${more.length > 0 ? ` and ${more.length} more` : ''}`
  return `GPU ${gpu.index} is used by ${who}, ${usedGb.toFixed(1)} GB`
}

function busyWithGraphics(gpu: Gpu, processes: GpuProcess[]): string | null {
  const otherGb = gpu.vramUsedGb - processes.reduce((sum, { usedGb }) => sum + (usedGb ?? 0), 0)
  if (otherGb <= limitGb(gpu) || (gpu.utilization ?? 0) < BUSY_PERCENT) return null
  return `GPU ${gpu.index} is busy with something else (${gpu.utilization} %), ${otherGb.toFixed(1)} GB`
}

function limitGb(gpu: Gpu): number {
  return Math.min(LIMIT_GB, LIMIT_SHARE * gpu.vramTotalGb)
}
