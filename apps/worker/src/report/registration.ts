import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Outbox } from './outbox.ts'

export interface Registration {
  /** What a slot can run, now that it is ready. Answers the tasks of all slots. */
  add(slotId: string, tasks: TaskDescription[]): TaskDescription[]
  /** The slot is gone. */
  remove(slotId: string): void
}

/** Tells the master, with their schemas, the tasks of all slots: at first, and when they are others. */
export function createRegistration(outbox: Outbox): Registration {
  const bySlot = new Map<string, TaskDescription[]>()
  let said = ''

  function tell(): TaskDescription[] {
    const byName = new Map([...bySlot.values()].flat().map(task => [task.name, task]))
    const all = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    if (said !== JSON.stringify(all)) {
      said = JSON.stringify(all)
      void outbox.add({ type: 'registered', tasks: all })
    }
    return all
  }

  return {
    add: (slotId, tasks) => {
      bySlot.set(slotId, tasks)
      return tell()
    },
    remove: slotId => {
      // A worker that stops takes nothing back: its tasks are known while it is off.
      if (bySlot.size > 1 && bySlot.delete(slotId)) tell()
    }
  }
}
