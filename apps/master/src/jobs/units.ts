import { createHash } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { type Kysely, sql } from 'kysely'
import type { DatabaseTransaction, JobRow, Tables, UnitRow } from '../database/schema.ts'
import { OPEN_JOB } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { UnitDraft } from './definition.ts'
import { rankUnits } from './fair-share.ts'
import { BY_FILE } from './json-body.ts'
import { isDue, waitUntil } from './when-due.ts'

/** Of one unit, in bytes of JSON: it travels as one value of Redis, which takes 4 MB. */
const LARGEST_INPUT = 3 * 1024 ** 2

/** A unit of a job, and where it stands in its queue. */
export type KnownUnit = Pick<UnitRow, 'id' | 'queue' | 'priority' | 'rank'>

/**
 * Adds drafts of a job as rows, in order, each once. Null: the job is no longer open, or was begun again. A draft whose
 * result is already known is DONE at once.
 */
export async function insertUnits(
  db: Kysely<Tables>,
  { id: jobId, generation }: Pick<JobRow, 'id' | 'generation'>,
  drafts: UnitDraft[],
  reuse: boolean
): Promise<KnownUnit[] | null> {
  const ids = drafts.map(draft => unitIdOf(jobId, draft))
  return await transact(db, async trx => {
    // Against a cancel at the same moment: it waits for these rows, or this finds the job ended.
    const job = await trx
      .selectFrom('jobs')
      .select(['id', 'key_id', 'single', 'priority', 'max_attempts', 'run_at', 'wait_timeout_ms', 'next_rank'])
      .where('id', '=', jobId)
      .where('generation', '=', generation)
      .where('status', 'in', OPEN_JOB)
      .forUpdate()
      .executeTakeFirst()
    if (!job) return null
    const known = job.next_rank === null ? [] : await knownOf(trx, ids)
    const isKnown = new Set(known.map(({ id }) => id))
    const added = drafts.filter((_, at) => !isKnown.has(ids[at] as string))
    const units = added.length > 0 ? [...known, ...(await insertNew(trx, job, added, reuse))] : known
    const byId = new Map(units.map(unit => [unit.id, unit]))
    return ids.map(id => byId.get(id) as KnownUnit)
  })
}

async function knownOf(trx: DatabaseTransaction, ids: string[]): Promise<KnownUnit[]> {
  const { rows } = await sql<KnownUnit>`select id, queue, priority, rank from units where id = any(${ids})`.execute(trx)
  return rows
}

type LockedJob = Pick<JobRow, 'id' | 'key_id' | 'single' | 'priority' | 'max_attempts' | 'run_at' | 'wait_timeout_ms'>

/** Adds drafts of which none is there yet, of a job that this transaction has locked. */
async function insertNew(
  trx: DatabaseTransaction,
  job: LockedJob,
  drafts: UnitDraft[],
  reuse: boolean
): Promise<KnownUnit[]> {
  const ranks = await rankUnits(
    trx,
    job,
    drafts.map(draft => draft.seconds)
  )
  const rows = drafts.map((draft, at) => ({
    id: unitIdOf(job.id, draft),
    task: draft.task,
    index: draft.index,
    queue: draft.queue,
    input_ref: draft.input?.key ?? null,
    span: draft.span,
    seconds: draft.seconds,
    deadline_ms: draft.deadlineMs,
    cache_key: cacheKeyOf(draft),
    retry_crashes: draft.retryCrashes ?? true,
    rank: ranks[at] as number
  }))
  const params = drafts.map(paramsOf)
  const text = `[${rows.map((row, at) => `${JSON.stringify(row).slice(0, -1)},"params":${params[at]}}`).join()}]`
  if (text.length > LARGEST_INPUT) for (const [at, { id }] of rows.entries()) checkSize(id, params[at] as string)
  const mayBeKnown = reuse && rows.some(({ cache_key }) => cache_key !== null)
  const runAt = sql<Date | null>`${job.run_at}::timestamptz`
  const waitTimeoutMs = sql<number | null>`${job.wait_timeout_ms}::integer`
  // One statement for any number of rows. Not as jsonb: with what is the same of all of them beside, it takes half as long.
  await sql`
    insert into units (id, job_id, task, index, queue, input_ref, params, params_bytes, span, seconds, deadline_ms,
      cache_key, retry_crashes, rank, priority, not_before, is_due, wait_until, max_attempts, status, output, output_ref,
      made_by, fraction, finished_at)
    select draft.id, ${job.id}, task, index, queue, input_ref, params, octet_length(params::text), span, seconds, deadline_ms,
      cache_key, retry_crashes, rank, ${job.priority}::integer, ${runAt}, ${isDue(runAt)},
      ${waitUntil(runAt, waitTimeoutMs)}, ${job.max_attempts}::integer,
      case when known.id is null then 'QUEUED' else 'DONE' end, known.output, known.output_ref, known.made_by,
      case when known.id is null then 0 else 1 end, case when known.id is null then null else now() end
    from json_to_recordset(${text}::json) as draft (id text, task text, index integer, queue text, input_ref text,
      params json, span jsonb, seconds double precision, deadline_ms integer, cache_key text, retry_crashes boolean,
      rank double precision)
    left join lateral ${mayBeKnown ? KNOWN_RESULT : NO_RESULT} as known on true
    on conflict (job_id, task, index) do nothing`.execute(trx)
  return rows.map(({ id, queue, rank }) => ({ id, queue, rank, priority: job.priority }))
}

/**
 * Of another unit with the same content, which makes a draft DONE, unless nobody knows who made it, or it is of a worker that
 * was revoked.
 */
const KNOWN_RESULT = sql`(
  select done.id, done.output, done.output_ref, coalesce(done.made_by, done.worker_id) as made_by from units as done
  left join workers on workers.id = coalesce(done.made_by, done.worker_id)
  where done.cache_key = draft.cache_key and done.status = 'DONE'
    and coalesce(done.made_by, done.worker_id) is not null and workers.revoked_at is null
  limit 1)`
const NO_RESULT = sql`(select null as id, null::json as output, null as output_ref, null as made_by)`

/** Nothing larger reaches a worker: the unit would wait for ever. `params`: as JSON. */
export function checkSize(unitId: string, params: string): void {
  const bytes = Buffer.byteLength(params)
  if (bytes > LARGEST_INPUT)
    throw new ScError(
      'SC_TASK_INPUT',
      `The input of unit ${unitId} has ${bytes} bytes of JSON; ${LARGEST_INPUT} are the most. ${BY_FILE}`
    )
}

/** What the task gets as its input, with the keys of its further blobs: as JSON text. */
export function paramsOf({ params, blobs }: Pick<UnitDraft, 'params' | 'blobs'>): string {
  if (typeof params === 'string') return params
  const keys = Object.entries(blobs).map(([name, { key }]) => [name, key])
  return JSON.stringify(keys.length === 0 ? params : { ...params, blobs: Object.fromEntries(keys) })
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

export function unitIdOf(jobId: string, { task, index }: Pick<UnitDraft, 'task' | 'index'>): string {
  return `${jobId}.${task.split('.').at(-1)}.${index}`
}
