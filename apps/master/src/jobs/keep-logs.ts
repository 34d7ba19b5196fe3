import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { sql } from 'kysely'
import { storableText, toJsonb } from '../database/jsonb.ts'
import type { DatabaseTransaction, UnitRow } from '../database/schema.ts'
import type { Holds } from './accept-batch.ts'

/** Of one line. */
const MOST_MESSAGE_BYTES = 8 * 1024
/** Of one job, fields and LINE_BYTES of each line included. */
export const MOST_LOG_BYTES = 1024 ** 2
/** What a row takes beside its text: lines of nothing fill a disk, too. */
export const LINE_BYTES = 128
const LAST_LINE = `The log of this job ends here: it has reached ${MOST_LOG_BYTES / 1024 ** 2} MB.`

type Log = Extract<OutboxMessage, { type: 'log' }>

export interface LogSaid {
  workerId: string
  message: Log
}

type Unit = Pick<UnitRow, 'id' | 'job_id' | 'status' | 'worker_id' | 'attempt_id'>

/**
 * Keeps what tasks say with their jobs, any number of lines in two statements, until a job's log is full: then one line says
 * so, and the rest is dropped before it is sent. Two masters may count past each other and go a little over; a batch that is
 * read again after a crash repeats its lines. A line counts while its attempt runs, or may be about to: not once the unit is
 * settled, or another's.
 */
export async function keepLogs(trx: DatabaseTransaction, lines: LogSaid[], holds: Holds): Promise<void> {
  if (lines.length === 0) return
  const ids = [...new Set(lines.map(({ message }) => message.unitId))]
  const { rows } = await sql<Unit & { bytes: number }>`
    select id, job_id, status, worker_id, attempt_id,
      coalesce((select total_bytes from job_logs where job_id = unit.job_id order by id desc limit 1), 0) as bytes
    from units as unit where id = any(${ids}::text[])`.execute(trx)
  const units = new Map(rows.map(unit => [unit.id, unit]))
  const totals = new Map(rows.map(({ job_id, bytes }) => [job_id, bytes]))
  const kept = lines.flatMap(line => {
    const unit = units.get(line.message.unitId)
    if (!unit || !isOfAttemptAt(unit, line, holds)) return []
    const before = totals.get(unit.job_id) ?? 0
    if (before >= MOST_LOG_BYTES) return []
    const row = toRow(unit, line.message, before)
    totals.set(unit.job_id, row.total_bytes)
    return [row]
  })
  if (kept.length === 0) return
  await sql`
    with kept as (
      insert into job_logs (job_id, unit_id, level, message, fields, total_bytes)
      select job_id, unit_id, level, message, fields::jsonb, total_bytes
      from jsonb_to_recordset(${JSON.stringify(kept)}::jsonb) as line
        (job_id text, unit_id text, level text, message text, fields text, total_bytes integer)
      returning job_id
    )
    select pg_notify('sc_job', job_id) from (select distinct job_id from kept) as jobs`.execute(trx)
}

function isOfAttemptAt(unit: Unit, { workerId, message }: LogSaid, holds: Holds): boolean {
  if (unit.status === 'QUEUED') return holds(workerId, unit.id)
  return unit.status === 'RUNNING' && unit.worker_id === workerId && unit.attempt_id === message.attemptId
}

/** A line as it is stored, after `before` bytes of its job's log; the last one if there is no room for it. */
function toRow({ id, job_id }: Unit, { level, message, fields }: Log, before: number) {
  const text = cut(storableText(message))
  const kept = fields ? keptFields(fields) : null
  const total_bytes = before + LINE_BYTES + Buffer.byteLength(text) + Buffer.byteLength(kept ?? '')
  const about = { job_id, unit_id: id }
  if (total_bytes < MOST_LOG_BYTES) return { ...about, level, message: text, fields: kept, total_bytes }
  return { ...about, level: 'warn', message: LAST_LINE, fields: null, total_bytes: MOST_LOG_BYTES }
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
