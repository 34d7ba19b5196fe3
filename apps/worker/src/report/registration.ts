import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Outbox } from './outbox.ts'

export interface Registration {
  /** What a slot can run, now that it is ready. Answers the tasks of all slots. */
  add(slotId: string, tasks: TaskDescription[]): TaskDescription[]
}

/** Tells the master, with their schemas, the tasks of all slots: at first, and when they are others. */
export function createRegistration(outbox: Outbox): Registration {
  const bySlot = new Map<string, TaskDescription[]>()
  let said = ''
  return {
    add: (slotId, tasks) => {
      bySlot.set(slotId, tasks)
      const byName = new Map([...bySlot.values()].flat().map(task => [task.name, task]))
      const all = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
      if (said !== JSON.stringify(all)) {
        said = JSON.stringify(all)
        void outbox.add({ type: 'registered', tasks: all })
      }
      return all
    }
  }
}
