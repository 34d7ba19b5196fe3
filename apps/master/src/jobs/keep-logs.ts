import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { sql } from 'kysely'
import { storableText, toJsonb } from '../database/jsonb.ts'
import type { DatabaseTransaction } from '../database/schema.ts'

/** Of one line. */
const MOST_MESSAGE_BYTES = 8 * 1024
/** Of one job, fields included. */
export const MOST_LOG_BYTES = 1024 ** 2
const LAST_LINE = `The log of this job ends here: it has reached ${MOST_LOG_BYTES / 1024 ** 2} MB.`

/**
 * Keeps what a task says with its job, until the job's log is full: then one line says so, and the rest is dropped. Two
 * masters may count past each other and go a little over; a batch that is read again after a crash repeats its lines. A line
 * counts while its attempt runs, or may be about to: not once the unit is settled, or another's.
 */
export async function keepLog(
  trx: DatabaseTransaction,
  workerId: string,
  { unitId, attemptId, level, message, fields }: Extract<OutboxMessage, { type: 'log' }>,
  isHeld: boolean
): Promise<void> {
  const text = cut(storableText(message))
  const kept = fields && keptFields(fields)
  const bytes = Buffer.byteLength(text) + Buffer.byteLength(kept ?? '')
  await sql`
    with kept as (
      insert into job_logs (job_id, unit_id, level, message, fields, total_bytes)
      select unit.job_id, unit.id, case when fits then ${level}::text else 'warn' end,
        case when fits then ${text}::text else ${LAST_LINE} end, case when fits then ${kept ?? null}::jsonb end,
        case when fits then last.bytes + ${bytes}::integer else ${MOST_LOG_BYTES} end
      from units as unit
      cross join lateral (
        select coalesce((select total_bytes from job_logs where job_id = unit.job_id order by id desc limit 1), 0) as bytes
      ) as last
      cross join lateral (select last.bytes + ${bytes}::integer < ${MOST_LOG_BYTES} as fits) as room
      where unit.id = ${unitId} and last.bytes < ${MOST_LOG_BYTES}
        and (unit.status = 'QUEUED' and ${isHeld}::boolean
          or unit.status = 'RUNNING' and unit.worker_id = ${workerId} and unit.attempt_id = ${attemptId})
      returning job_id
    )
    select pg_notify('sc_job', job_id) from kept`.execute(trx)
}

function cut(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= MOST_MESSAGE_BYTES) return text
  // The last character may have been cut in two.
  const head = bytes
    .subarray(0, MOST_MESSAGE_BYTES)
    .toString('utf8')
    .replace(/\ufffd$/, '')
  return `${head} … (cut: ${bytes.length} bytes)`
}

function keptFields(fields: Record<string, unknown>): string {
  const text = toJsonb(fields)
  return text.length <= MOST_MESSAGE_BYTES ? text : toJsonb({ leftOut: `${text.length} bytes of fields` })
}
