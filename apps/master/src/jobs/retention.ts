import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { type Database, type JobRow, OPEN_JOB } from '../database/schema.ts'

/**
 * Forgets jobs that ended long ago, or the oldest of them when all together take too much: their blobs first, then their
 * rows, so that a crash in between leaves something to find again. Without limits nothing is ever forgotten.
 */
export interface RetentionDeps {
  db: Database
  blobs: BlobStore
  log: Logger
  /** Days after its end; undefined: for ever. */
  days: number | undefined
  /** Bytes of recordings, large inputs and results of all ended jobs; undefined: any number. */
  bytes: number | undefined
}

const EVERY_MS = 60_000
const AT_ONCE = 200

export function startRetention(deps: RetentionDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await forgetOld(deps, stopping.signal).catch(error =>
        deps.log.warn({ err: error }, 'forgetting old jobs failed; trying again')
      )
      await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

/** Answers how many jobs were forgotten. */
export async function forgetOld(deps: RetentionDeps, signal: AbortSignal): Promise<number> {
  if (deps.days === undefined && deps.bytes === undefined) return 0
  if (deps.bytes !== undefined) await measure(deps, signal)
  let forgotten = 0
  for (;;) {
    const ids = await findOld(deps)
    for (const id of ids) {
      if (signal.aborted) return forgotten
      await forget(deps, id)
      forgotten++
    }
    if (ids.length > 0) deps.log.info({ jobs: ids.length }, 'forgot old jobs')
    if (ids.length < AT_ONCE) return forgotten
  }
}

async function findOld({ db, days, bytes }: RetentionDeps): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from (
      select id, finished_at, sum(coalesce(bytes, 0)) over (order by finished_at desc, id) as total
      from jobs where finished_at is not null
    ) as ended
    where (${days !== undefined} and finished_at < now() - make_interval(secs => ${(days ?? 0) * 86_400}::double precision))
      or total > ${bytes ?? Number.MAX_SAFE_INTEGER}
    order by finished_at limit ${AT_ONCE}`.execute(db)
  return rows.map(({ id }) => id)
}

async function forget({ db, blobs }: RetentionDeps, id: string): Promise<void> {
  await db.transaction().execute(async trx => {
    // Held, so that nobody begins it again meanwhile.
    const job = await trx
      .selectFrom('jobs')
      .select(['id', 'output_ref'])
      .where('id', '=', id)
      .where('status', 'not in', OPEN_JOB)
      .forUpdate()
      .executeTakeFirst()
    if (!job) return
    await blobs.removePrefix(`files/${id}`)
    await blobs.removePrefix(`units/${id}`)
    if (job.output_ref !== null) await blobs.remove(job.output_ref)
    await trx.deleteFrom('jobs').where('id', '=', id).execute()
  })
}

/** Writes down what each ended job takes, once. */
async function measure({ db, blobs }: RetentionDeps, signal: AbortSignal): Promise<void> {
  for (;;) {
    const jobs = await db
      .selectFrom('jobs')
      .select(['id', 'blob_key', 'input_ref', 'output_ref'])
      .where('finished_at', 'is not', null)
      .where('bytes', 'is', null)
      .limit(AT_ONCE)
      .execute()
    for (const job of jobs) {
      if (signal.aborted) return
      const bytes = await bytesOf(blobs, job)
      await db.updateTable('jobs').set({ bytes }).where('id', '=', job.id).execute()
    }
    if (jobs.length < AT_ONCE) return
  }
}

async function bytesOf(
  blobs: BlobStore,
  { id, blob_key, input_ref, output_ref }: Pick<JobRow, 'id' | 'blob_key' | 'input_ref' | 'output_ref'>
): Promise<number> {
  const keys = [blob_key, input_ref, output_ref, blob_key && `files/${id}/transcription.json`]
  const sizes = keys.map(key => (key ? blobs.size(key).catch(() => 0) : 0))
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
