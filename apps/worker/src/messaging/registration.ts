import type { LackingTask, TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Outbox } from './outbox.ts'

export interface SlotOffer {
  /** What the slot can run. */
  tasks: TaskDescription[]
  /** What it cannot run of the tasks folder. */
  lacking: LackingTask[]
  /** Its capability classes. */
  classes: string[]
}

export interface Registration {
  /** The slot is ready. Answers the tasks of all slots. */
  add(slotId: string, offer: SlotOffer): TaskDescription[]
  /** The slot is gone. */
  remove(slotId: string): void
}

/**
 * Tells the master the classes and, with their schemas, the tasks of all slots, and those of the tasks folder that none of
 * them can run: at first, and when they are others.
 */
export function createRegistration(outbox: Outbox): Registration {
  const bySlot = new Map<string, SlotOffer>()
  let said = ''

  function tell(): TaskDescription[] {
    const slots = [...bySlot.values()]
    const tasks = byName(slots.flatMap(slot => slot.tasks))
    const offered = new Set(tasks.map(({ name }) => name))
    // The slot that can do most says what is lacking: of a CPU lane every task for GPUs would lack one.
    const most = slots.toSorted((a, b) => a.classes.length - b.classes.length)
    const lacking = byName(most.flatMap(slot => slot.lacking)).filter(({ name }) => !offered.has(name))
    const classes = [...new Set(slots.flatMap(slot => slot.classes))].sort()
    const now = JSON.stringify([tasks, lacking, classes])
    if (said !== now) {
      said = now
      void outbox.add({ type: 'registered', tasks, lacking, classes })
    }
    return tasks
  }

  return {
    add: (slotId, offer) => {
      bySlot.set(slotId, offer)
      return tell()
    },
    remove: slotId => {
      // A worker that stops takes nothing back: its tasks are known while it is off.
      if (bySlot.size > 1 && bySlot.delete(slotId)) tell()
    }
  }
}

/** Each name once, as the last one has it. */
function byName<Task extends TaskDescription>(tasks: Task[]): Task[] {
  const named = new Map(tasks.map(task => [task.name, task]))
  return [...named.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}
