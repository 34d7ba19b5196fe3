import { createHash } from 'node:crypto'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import { type JobRow, OPEN_JOB } from '../database/schema.ts'
import { type AwaitedOutputs, awaitOutputs, RELOOK_MS } from './awaited-outputs.ts'
import { type Definitions, definitionOf, type PlanContext, type StoredInput, type UnitDraft } from './definition.ts'
import type { JobFeed } from './feed.ts'
import { type BatchLimits, inBatches } from './in-batches.ts'
import { endJob, notifyJob, type SettleDeps } from './settle.ts'
import type { Turn } from './turns.ts'
import { insertUnits, type KnownUnit, paramsOf } from './units.ts'

export interface PlanDeps extends SettleDeps {
  blobs: BlobStore
  feed: JobFeed
  definitions: Pick<Definitions, 'find'>
  /** Called when every unit is known. */
  onPlanned(jobId: string): Promise<void>
}

/** Says that a job waits for its plan. */
export type QueuePlan = (job: Pick<JobRow, 'id' | 'task'>, runAt?: Date | null) => Promise<void>

/** Units in one statement: what a transaction costs is shared by so many. */
const BATCH: BatchLimits<UnitDraft> = {
  most: 1_000,
  mostWeight: 2 * 1024 ** 2,
  weigh: draft => paramsOf(draft).length
}

/**
 * Runs a job's `plan` to its end, queueing each unit as soon as it is known. After a crash it runs from the start; units
 * that are there already stay as they are. The last try ends the job with the error.
 */
export function createPlan(deps: PlanDeps) {
  return async (jobId: string, triesLeft: number, stopping: AbortSignal, turn: Turn): Promise<void> => {
    const job = await deps.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirst()
    if (!job || job.planned || !OPEN_JOB.includes(job.status)) return
    if (triesLeft < 0) {
      await endJob(deps, jobId, 'FAILED', tooManyBegun(job).toReport())
      return
    }
    const ended = watchForEnd(deps, job)
    const signal = AbortSignal.any([stopping, ended.signal])
    try {
      await runPlan(deps, job, signal, turn)
    } catch (thrown) {
      if (ended.signal.aborted) return
      const error = toScError(thrown)
      // It ended, or was begun again, and then has another plan.
      if (error.code === 'SC_CANCELLED') return
      if (stopping.aborted || (error.retryable && triesLeft > 0)) throw error
      await endJob(deps, jobId, 'FAILED', error.toReport())
      return
    } finally {
      ended.release()
    }
    await deps.onPlanned(jobId)
  }
}

function tooManyBegun({ id }: JobRow): ScError {
  const what = `The plan of job ${id} was begun again and again, and the last time the master ended before it was done`
  const next = 'See the log of the master for why, then begin the job again (`sc retry`).'
  return new ScError('SC_INTERNAL', `${what}: it is not tried again by itself. ${next}`, { retryable: false })
}

async function runPlan(deps: PlanDeps, job: JobRow, signal: AbortSignal, turn: Turn): Promise<void> {
  const definition = definitionOf(deps.definitions, job)
  const context = createContext(deps, job, signal, turn)
  const over = new AbortController()
  const outputs = awaitOutputs(deps, job.id, AbortSignal.any([signal, over.signal]))
  const batches =
    'planBatches' in definition ? definition.planBatches(job, context) : inBatches(definition.plan(job, context), BATCH)
  try {
    for (let step = await batches.next(); ; step = await batches.next()) {
      signal.throwIfAborted()
      if (step.done) return await keepSummary(deps, job, step.value)
      tellAwaiters(outputs, step.value, await addUnits(deps, job, step.value))
    }
  } finally {
    over.abort()
    await batches.return({})
  }
}

async function keepSummary({ db }: PlanDeps, job: JobRow, summary: Record<string, unknown>): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ planned: true, plan_summary: JSON.stringify(summary) })
    .where('id', '=', job.id)
    .where('generation', '=', job.generation)
    .execute()
}

/** Their rows first, then their places in the queues; the dispatcher mends a crash between the two. */
async function addUnits(deps: PlanDeps, job: JobRow, drafts: UnitDraft[]): Promise<KnownUnit[]> {
  const units = await insertUnits(deps.db, job, drafts, job.input.reuse !== false)
  if (!units) throw new ScError('SC_CANCELLED', `Job ${job.id} ended while it was planned.`)
  deps.dispatch.added(units)
  await notifyJob(deps.db, job.id)
  return units
}

function tellAwaiters(outputs: AwaitedOutputs, drafts: UnitDraft[], units: KnownUnit[]): void {
  for (const [at, { awaiter }] of drafts.entries()) if (awaiter) outputs.add(units[at]?.id as string, awaiter)
}

function createContext(deps: PlanDeps, job: JobRow, signal: AbortSignal, turn: Turn): PlanContext {
  return {
    signal,
    turn: () => turn.next(signal),
    store: async (name, bytes): Promise<StoredInput> => {
      const key = `units/${job.id}/${name}`
      const stored = await deps.blobs.size(key).catch(() => null)
      // A plan that runs again makes the same bytes: what arrived whole needs no second writing.
      if (stored !== bytes.length) await deps.blobs.put(key, bytes, { signal })
      return { key, sha256: createHash('sha256').update(bytes).digest('hex') }
    },
    run: async draft => {
      const [unit] = await addUnits(deps, job, [draft])
      turn.rest()
      return await outputOf(deps, job.id, unit?.id as string, signal)
    },
    learned: async facts => {
      const set = { model: facts.model, language: facts.language, duration_seconds: facts.durationSeconds }
      await deps.db.updateTable('jobs').set(set).where('id', '=', job.id).execute()
      await notifyJob(deps.db, job.id)
    }
  }
}

/** Waits until a unit is settled. Its error is final: it has been tried again. */
async function outputOf(deps: PlanDeps, jobId: string, unitId: string, signal: AbortSignal): Promise<unknown> {
  for (;;) {
    const changed = nextChange(deps.feed, jobId, signal)
    const unit = await deps.db.selectFrom('units').selectAll().where('id', '=', unitId).executeTakeFirstOrThrow()
    if (unit.status === 'DONE') return unit.output
    if (unit.error && unit.status === 'FAILED')
      throw new ScError(unit.error.code, unit.error.detail, { retryable: false })
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

/** A signal that fires when the job was cancelled or begun again, by whichever master. */
function watchForEnd(deps: PlanDeps, { id: jobId, generation }: JobRow): { signal: AbortSignal; release: () => void } {
  const ended = new AbortController()
  const release = deps.feed.onChange(jobId, () => {
    deps.db
      .selectFrom('jobs')
      .select(['status', 'generation'])
      .where('id', '=', jobId)
      .executeTakeFirst()
      .then(
        job => (!job || !OPEN_JOB.includes(job.status) || job.generation !== generation) && ended.abort(),
        // PostgreSQL is away: the plan itself will meet that.
        () => {}
      )
  })
  return { signal: ended.signal, release }
}
