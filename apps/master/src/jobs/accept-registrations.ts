import { isClass } from '@sc/shared/capability.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { printable } from '@sc/shared/printable.ts'
import type { LackingTask, TaskDescription } from '@sc/shared/python-protocol.ts'
import { sortTasks } from '@sc/shared/task-limits.ts'
import { sql } from 'kysely'
import { lockTasks, shareOutTasks, stampsAfter } from '../cluster/task-claims.ts'
import { toJsonb } from '../database/jsonb.ts'
import type { DatabaseTransaction } from '../database/schema.ts'
import type { Verdict } from './verdict.ts'

interface Registration {
  workerId: string
  message: OutboxMessage
}

/**
 * What workers register is kept with them, of each the last: then it is decided anew, of all workers, whose tasks count and
 * which queues follow from that.
 */
export async function acceptRegistrations(
  trx: DatabaseTransaction,
  batch: Registration[],
  verdict: Verdict
): Promise<void> {
  const last = new Map(
    batch.flatMap(({ workerId, message }) => (message.type === 'registered' ? [[workerId, message] as const] : []))
  )
  if (last.size === 0) return
  await lockTasks(trx)
  for (const [workerId, { tasks: offered, lacking = [], classes }] of last) {
    // What it can run goes first, should there be too much.
    const { accepted: tasks, refused } = sortTasks<TaskDescription | LackingTask>([
      ...offered,
      ...lacking.map(readable)
    ])
    const before = await trx
      .selectFrom('workers')
      .select(['tasks', 'tasks_since', 'tasks_left'])
      .where('id', '=', workerId)
      .executeTakeFirst()
    if (!before) continue
    const { since, left } = stampsAfter(before, tasks, Date.now())
    await trx
      .updateTable('workers')
      .set({
        tasks: toJsonb(tasks),
        refused_tasks: toJsonb(refused),
        tasks_at: sql<Date>`now()`,
        tasks_since: toJsonb(since),
        tasks_left: toJsonb(left),
        queues: [...new Set(classes)].filter(isClass)
      })
      .where('id', '=', workerId)
      .execute()
    verdict.registered.add(workerId)
  }
  for (const workerId of await shareOutTasks(trx)) verdict.registered.add(workerId)
}

function readable(task: LackingTask): LackingTask {
  return { ...task, lack: printable(task.lack) }
}
