/**
 * DESIGN: the slots of a worker. They follow a plan that changes when a GPU or an LLM server comes or goes: a slot is
 * known by its device and its place among those of the device, never by the index of a GPU, which changes with its
 * neighbours.
 * What holds the whole worker (drained, quiet, stopping) holds a slot that is added later too.
 */
import type { Logger } from '@sc/shared/log.ts'
import type { SlotPlan } from '../probe/slot-plan.ts'
import { createHolds, type Hold } from './holds.ts'
import type { Slot } from './slot.ts'

/** A slot with what is its own. */
export interface OwnedSlot {
  slot: Slot
  queueNames(): string[]
  /** Stops the slot and closes what it had to itself. */
  end(): Promise<void>
}

export interface SlotSet {
  slots(): Slot[]
  /** Every queue that a slot serves. */
  queueNames(): string[]
  /** Starts the slots that are new in `plans`, and ends those that are not in it any more. One call at a time. */
  follow(plans: SlotPlan[]): Promise<void>
  /** Holds every slot. */
  hold(hold: Hold, reason: string): void
  free(hold: Hold): void
  /** Why the worker as a whole takes no units; null: it does. */
  held(): string | null
  /** UUIDs of the GPUs whose slots run no unit. */
  idleGpus(): Set<string>
  /** Holds the slots of these GPUs, by UUID with the reason, and no others. */
  reserve(reasons: ReadonlyMap<string, string>): void
  end(): Promise<void>
}

export function createSlotSet(create: (plan: SlotPlan) => OwnedSlot, log: Logger): SlotSet {
  const holds = createHolds()
  const owned = new Map<string, OwnedSlot & { device: string; id: string }>()
  const all = (): Array<OwnedSlot & { device: string; id: string }> => [...owned.values()]

  function add(key: string, plan: SlotPlan): void {
    const ids = all().map(({ id }) => id)
    let id = plan.id
    for (let again = 2; ids.includes(id); again++) id = `${plan.id}-${again}`
    const one = create({ ...plan, id })
    owned.set(key, { ...one, id, device: plan.device })
    for (const [hold, reason] of holds.reasons) one.slot.hold(hold, reason)
    one.slot.start()
    log.info({ slot: id, device: plan.device, queues: one.queueNames().join(' ') }, 'A slot was added')
  }

  return {
    slots: () => all().map(({ slot }) => slot),
    queueNames: () => [...new Set(all().flatMap(one => one.queueNames()))],
    follow: async plans => {
      const wanted = keysOf(plans)
      const gone = [...owned].filter(([key]) => !wanted.has(key))
      await Promise.all(
        gone.map(async ([key, one]) => {
          log.warn({ slot: one.id, device: one.device }, 'The GPU or the LLM server of the slot is gone')
          await one.end()
          owned.delete(key)
        })
      )
      for (const [key, plan] of wanted) if (!owned.has(key)) add(key, plan)
    },
    hold: (hold, reason) => {
      holds.add(hold, reason)
      for (const { slot } of all()) slot.hold(hold, reason)
    },
    free: hold => {
      holds.remove(hold)
      for (const { slot } of all()) slot.free(hold)
    },
    held: () => holds.first()?.reason ?? null,
    idleGpus: () => new Set(all().flatMap(({ slot, device }) => (slot.isBusy ? [] : [device]))),
    reserve: reasons => {
      for (const { slot, device } of all()) {
        const reason = reasons.get(device)
        if (reason === undefined) slot.free('reserved')
        else slot.hold('reserved', reason)
      }
    },
    end: async () => {
      await Promise.all(all().map(one => one.end()))
    }
  }
}

/** CPU lanes differ in nothing but their place. */
function keysOf(plans: SlotPlan[]): Map<string, SlotPlan> {
  const places = new Map<string, number>()
  return new Map(
    plans.map(plan => {
      const place = places.get(plan.device) ?? 0
      places.set(plan.device, place + 1)
      return [`${plan.device} ${place}`, plan]
    })
  )
}
