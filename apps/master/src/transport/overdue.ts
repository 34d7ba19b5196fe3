import { ScError } from '@sc/shared/errors.ts'
import type { AttemptMessage } from '@sc/shared/outbox-message.ts'
import type { Database } from '../database/schema.ts'
import type { Said } from '../jobs/accept-batch.ts'
import type { HeldEntry } from './links.ts'

/**
 * What a worker would have to report of an entry that it holds past the deadlines of its units: a timeout of those that it
 * began, the return of the others. Its own watch over deadlines failed, or it does not mean to end.
 */
export async function overdueMessages(
  db: Database,
  workerId: string,
  { entry, slot, unread }: HeldEntry
): Promise<Said[]> {
  const rows = await db
    .selectFrom('units')
    .select(['id', 'attempt_id', 'status', 'worker_id', 'deadline_ms'])
    .where('id', 'in', [...unread])
    .where('entry', '=', entry)
    .execute()
  // Another worker has begun some of them meanwhile: those are its own.
  const own = rows.filter(row => row.status !== 'RUNNING' || row.worker_id === workerId)
  return own.map(({ id: unitId, attempt_id, status, worker_id, deadline_ms }): Said => {
    const isRunning = status === 'RUNNING' && worker_id === workerId && attempt_id !== null
    const about = { unitId, attemptId: attempt_id ?? '', ticket: '', slot }
    return {
      workerId,
      message: isRunning ? timeout(about, deadline_ms) : { type: 'returned', ...about, entry, hasBegun: false }
    }
  })
}

function timeout(
  about: Pick<AttemptMessage, 'unitId' | 'attemptId' | 'ticket'> & { slot: string },
  deadlineMs: number
): AttemptMessage {
  const detail = `Unit ${about.unitId} was still with its worker long after its limit of ${deadlineMs / 1000} s: the worker neither ended it nor gave it back.`
  const error = new ScError('SC_TASK_TIMEOUT', detail).toReport()
  const timings = { waited: 0, fetched: 0, ran: deadlineMs, reported: 0 }
  return { type: 'error', ...about, error, retryable: true, timings }
}
