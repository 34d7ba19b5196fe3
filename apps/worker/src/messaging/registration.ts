import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Outbox } from './outbox.ts'

export interface Registration {
  /** What a slot can run, now that it is ready. Answers the tasks of all slots. */
  add(slotId: string, tasks: TaskDescription[], classes: string[]): TaskDescription[]
  /** The slot is gone. */
  remove(slotId: string): void
}

/** Tells the master the classes and, with their schemas, the tasks of all slots: at first, and when they are others. */
export function createRegistration(outbox: Outbox): Registration {
  const bySlot = new Map<string, { tasks: TaskDescription[]; classes: string[] }>()
  let said = ''

  function tell(): TaskDescription[] {
    const byName = new Map([...bySlot.values()].flatMap(({ tasks }) => tasks).map(task => [task.name, task]))
    const all = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    const classes = [...new Set([...bySlot.values()].flatMap(slot => slot.classes))].sort()
    const now = JSON.stringify([all, classes])
    if (said !== now) {
      said = now
      void outbox.add({ type: 'registered', tasks: all, classes })
    }
    return all
  }

  return {
    add: (slotId, tasks, classes) => {
      bySlot.set(slotId, { tasks, classes })
      return tell()
    },
    remove: slotId => {
      // A worker that stops takes nothing back: its tasks are known while it is off.
      if (bySlot.size > 1 && bySlot.delete(slotId)) tell()
    }
  }
}
