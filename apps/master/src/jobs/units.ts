import { createHash } from 'node:crypto'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { sql } from 'kysely'
import type { Database, JobRow, UnitRow } from '../database/schema.ts'
import { OPEN_JOB } from '../database/schema.ts'
import type { UnitDraft } from './definition.ts'

const COLUMNS = [
  ...(['id', 'job_id', 'task', 'index', 'queue', 'status', 'input_ref', 'params', 'span', 'seconds'] as const),
  ...(['deadline_ms', 'cache_key', 'output', 'fraction', 'finished_at'] as const)
]

/** Adds a draft as a row, once. Null: the job is no longer open. A result that is already known makes it DONE at once. */
export async function insertUnit(db: Database, job: JobRow, draft: UnitDraft, reuse: boolean): Promise<UnitRow | null> {
  const cacheKey = cacheKeyOf(draft)
  const known = reuse && cacheKey !== null ? await findResult(db, cacheKey) : null
  const now = new Date()
  await db
    .insertInto('units')
    .columns(COLUMNS)
    .expression(
      db
        .selectFrom('jobs')
        .select(eb => [
          eb.val(unitIdOf(job.id, draft)).as('id'),
          'jobs.id as job_id',
          eb.val(draft.task).as('task'),
          sql<number>`${draft.index}::integer`.as('index'),
          eb.val(draft.queue).as('queue'),
          eb.val(known ? 'DONE' : 'QUEUED').as('status'),
          eb.val(draft.input?.key ?? null).as('input_ref'),
          sql<string>`${JSON.stringify(paramsOf(draft))}::jsonb`.as('params'),
          sql<string>`${JSON.stringify(draft.span)}::jsonb`.as('span'),
          sql<number>`${draft.seconds}::double precision`.as('seconds'),
          sql<number>`${draft.deadlineMs}::integer`.as('deadline_ms'),
          eb.val(cacheKey).as('cache_key'),
          sql<string | null>`${known}::jsonb`.as('output'),
          sql<number>`${known ? 1 : 0}::real`.as('fraction'),
          sql<Date | null>`${known ? now : null}::timestamptz`.as('finished_at')
        ])
        .where('jobs.id', '=', job.id)
        .where('jobs.status', 'in', OPEN_JOB)
        // Against a cancel at the same moment: it waits for this row, or this insert sees it.
        .forShare()
    )
    .onConflict(conflict => conflict.columns(['job_id', 'task', 'index']).doNothing())
    .execute()
  const row = await db.selectFrom('units').selectAll().where('id', '=', unitIdOf(job.id, draft)).executeTakeFirst()
  return row ?? null
}

/** The text of a finished unit's output with the same content, or null. */
async function findResult(db: Database, cacheKey: string): Promise<string | null> {
  const row = await db
    .selectFrom('units')
    .select(sql<string>`output::text`.as('text'))
    .where('cache_key', '=', cacheKey)
    .where('status', '=', 'DONE')
    .limit(1)
    .executeTakeFirst()
  return row?.text ?? null
}

/** What the task gets as its input, with the keys of its further blobs. */
function paramsOf({ params, blobs }: UnitDraft): Record<string, unknown> {
  const keys = Object.entries(blobs).map(([name, { key }]) => [name, key])
  return keys.length === 0 ? params : { ...params, blobs: Object.fromEntries(keys) }
}

/** sha256 of what the unit is made of: task, audio, parameters; not of names and keys. */
function cacheKeyOf({ task, input, params, blobs }: UnitDraft): string | null {
  // Only a task on stored content is known to give the same again.
  if (input === null) return null
  const contents = Object.entries(blobs).map(([name, { sha256 }]) => [name, sha256])
  return createHash('sha256')
    .update(JSON.stringify([task, input.sha256, contents, params]))
    .digest('hex')
}

function unitIdOf(jobId: string, { task, index }: Pick<UnitDraft, 'task' | 'index'>): string {
  return `${jobId}.${task.split('.').at(-1)}.${index}`
}

/** What BullMQ carries for a row. */
export function toPayload(unit: UnitRow): UnitPayload {
  return {
    unitId: unit.id,
    jobId: unit.job_id,
    task: unit.task,
    index: unit.index,
    inputRef: unit.input_ref,
    params: unit.params,
    deadline: unit.deadline_ms
  }
}

/** BullMQ id of a row: queueing the same dispatch twice is queueing it once. */
export function queueIdOf(unit: Pick<UnitRow, 'id' | 'dispatch'>): string {
  return `${unit.id}-${unit.dispatch}`
}
