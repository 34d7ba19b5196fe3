import { createHash } from 'node:crypto'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import { type JobRow, OPEN_JOB, type UnitRow } from '../database/schema.ts'
import type { JobDefinition, PlanContext, StoredInput, UnitDraft } from './definition.ts'
import type { JobFeed } from './feed.ts'
import { endJob, notifyJob, type SettleDeps } from './settle.ts'
import { insertUnit } from './units.ts'

export interface PlanDeps extends SettleDeps {
  blobs: BlobStore
  feed: JobFeed
  definitions: Map<string, JobDefinition>
  /** Called when every unit is known. */
  onPlanned(jobId: string): Promise<void>
}

/** A notification may be lost with its connection. */
const RELOOK_MS = 2_000

/**
 * Runs a job's `plan` to its end, queueing each unit as soon as it is known. After a crash it runs from the start; units
 * that are there already stay as they are. The last try ends the job with the error.
 */
export function createPlan(deps: PlanDeps) {
  return async (jobId: string, triesLeft: number, stopping: AbortSignal): Promise<void> => {
    const job = await deps.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirst()
    if (!job || job.planned || !OPEN_JOB.includes(job.status)) return
    const ended = watchForEnd(deps, jobId)
    const signal = AbortSignal.any([stopping, ended.signal])
    try {
      await runPlan(deps, job, signal)
    } catch (thrown) {
      if (ended.signal.aborted) return
      const error = toScError(thrown)
      if (stopping.aborted || (error.retryable && triesLeft > 0)) throw error
      await endJob(deps, jobId, 'FAILED', error.toReport())
      return
    } finally {
      ended.release()
    }
    await deps.onPlanned(jobId)
  }
}

async function runPlan(deps: PlanDeps, job: JobRow, signal: AbortSignal): Promise<void> {
  const definition = deps.definitions.get(job.task)
  if (!definition) throw new ScError('SC_TASK_UNKNOWN', `No job named ${job.task} is known to this master.`)
  const context = createContext(deps, job, signal)
  const drafts = definition.plan(job, context)
  for (let step = await drafts.next(); ; step = await drafts.next()) {
    signal.throwIfAborted()
    if (step.done) {
      await deps.db
        .updateTable('jobs')
        .set({ planned: true, plan_summary: JSON.stringify(step.value) })
        .where('id', '=', job.id)
        .execute()
      return
    }
    await addUnit(deps, job, step.value)
  }
}

/** One unit: its row first, then its place in the queue; the reconciler mends a crash between the two. */
async function addUnit(deps: PlanDeps, job: JobRow, draft: UnitDraft): Promise<UnitRow> {
  const unit = await insertUnit(deps.db, job, draft, job.input.reuse !== false)
  if (!unit) throw new ScError('SC_CANCELLED', `Job ${job.id} ended while it was planned.`)
  if (unit.status === 'QUEUED') await deps.dispatch.send([unit], job.priority)
  await notifyJob(deps.db, job.id)
  return unit
}

function createContext(deps: PlanDeps, job: JobRow, signal: AbortSignal): PlanContext {
  return {
    signal,
    store: async (name, bytes): Promise<StoredInput> => {
      const key = `units/${job.id}/${name}`
      const stored = await deps.blobs.size(key).catch(() => null)
      // A plan that runs again makes the same bytes: what arrived whole needs no second writing.
      if (stored !== bytes.length) await deps.blobs.put(key, bytes, { signal })
      return { key, sha256: createHash('sha256').update(bytes).digest('hex') }
    },
    run: async draft => {
      const { id } = await addUnit(deps, job, draft)
      return await outputOf(deps, job.id, id, signal)
    },
    learned: async facts => {
      const set = { model: facts.model, language: facts.language, duration_seconds: facts.durationSeconds }
      await deps.db.updateTable('jobs').set(set).where('id', '=', job.id).execute()
      await notifyJob(deps.db, job.id)
    }
  }
}

/** Waits until a unit is settled. */
async function outputOf(deps: PlanDeps, jobId: string, unitId: string, signal: AbortSignal): Promise<unknown> {
  for (;;) {
    const changed = nextChange(deps.feed, jobId, signal)
    const unit = await deps.db.selectFrom('units').selectAll().where('id', '=', unitId).executeTakeFirstOrThrow()
    if (unit.status === 'DONE') return unit.output
    if (unit.error && unit.status === 'FAILED') throw new ScError(unit.error.code, unit.error.detail)
    await changed
    signal.throwIfAborted()
  }
}

/** Resolves at the job's next change, at the latest after RELOOK_MS. */
function nextChange(feed: JobFeed, jobId: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, RELOOK_MS)
  const release = feed.onChange(jobId, () => resolve())
  signal.addEventListener('abort', () => resolve(), { once: true })
  return promise.finally(() => {
    clearTimeout(timer)
    release()
  })
}

/** A signal that fires when the job was cancelled, by whichever master. */
function watchForEnd(deps: PlanDeps, jobId: string): { signal: AbortSignal; release: () => void } {
  const ended = new AbortController()
  const release = deps.feed.onChange(jobId, () => {
    deps.db
      .selectFrom('jobs')
      .select('status')
      .where('id', '=', jobId)
      .executeTakeFirst()
      .then(
        job => (!job || !OPEN_JOB.includes(job.status)) && ended.abort(),
        // PostgreSQL is away: the plan itself will meet that.
        () => {}
      )
  })
  return { signal: ended.signal, release }
}
