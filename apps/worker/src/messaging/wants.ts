/**
 * DESIGN: what this worker asks of the masters and what it has from them. Pure: no Redis, no clock.
 *
 *   slot:  (asks nothing) --ask--> wants n --units for n--> holds an entry --release--> (asks nothing)
 *                                    \--withdraw--> (asks nothing)
 *
 * Each slot counts its wants. An entry is taken only for the want that stands, so the worker alone decides what its slots
 * have, whatever two masters believe: one entry too many is `unwanted`, and goes back at once. An entry that comes again while
 * it is held is the same message, read twice; one that comes for another slot was thought lost, and that slot asks anew.
 */
import type { UnitsMessage } from '@sc/shared/inbox-message.ts'
import type { Holding, SlotWant } from '@sc/shared/outbox-message.ts'

export interface Wants {
  /** Asks for one entry for the slot; an earlier want of it does not stand any more. */
  ask(slot: string, queues: string[]): SlotWant
  withdraw(slot: string): void
  arrive(
    message: Pick<UnitsMessage, 'slot' | 'want' | 'entry' | 'queue' | 'ticket'>
  ): 'taken' | 'unwanted' | 'known' | 'elsewhere'
  /** The outcomes of the entry's units are on their way. */
  release(entry: string): void
  state(): { holding: Holding[]; wants: SlotWant[] }
}

export function createWants(): Wants {
  const counts = new Map<string, number>()
  const standing = new Map<string, SlotWant>()
  const held = new Map<string, Holding>()
  return {
    ask: (slot, queues) => {
      const want = { slot, want: (counts.get(slot) ?? 0) + 1, queues }
      counts.set(slot, want.want)
      standing.set(slot, want)
      return want
    },
    withdraw: slot => void standing.delete(slot),
    arrive: ({ slot, want, entry, queue, ticket }) => {
      const known = held.get(entry)
      if (known) return known.slot === slot || standing.get(slot)?.want !== want ? 'known' : 'elsewhere'
      if (standing.get(slot)?.want !== want) return 'unwanted'
      standing.delete(slot)
      held.set(entry, { entry, queue, slot, ticket })
      return 'taken'
    },
    release: entry => void held.delete(entry),
    state: () => ({ holding: [...held.values()], wants: [...standing.values()] })
  }
}
