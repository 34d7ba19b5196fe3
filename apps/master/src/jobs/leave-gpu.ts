import { classesOfGpu } from '@sc/shared/capability.ts'
import { reportOf } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { type Database, type DatabaseTransaction, OPEN_JOB, type UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Metrics } from '../metrics.ts'
import { TRANSCRIPTION_TASKS } from '../transcription/check-output.ts'
import { planAgain } from './begin-again.ts'
import type { Dispatch } from './dispatch.ts'
import type { QueuePlan } from './plan.ts'
import { notifyJobs } from './settle.ts'
import { emptyVerdict, failAttempt, type Verdict } from './verdict.ts'

/**
 * A transcription is planned for GPUs where a worker has one; it can be done without. Where no slot serves the GPU class
 * that its units wait for, and slots serve `cpu`, it leaves that class: at once when no known worker has such a GPU any more
 * (it was revoked), else when those that have one were away for a while.
 *
 *   nothing of the job was done --> planned again, for the cluster as it is: with a model that CPUs have
 *   some of it was done, or it has outgrown smaller cards --> its units go to `cpu`
 *
 * What a slot has is left alone, and so is the rest of its job: a unit is free once its entry could be taken out of Redis,
 * which a locked one cannot. That includes units that a lost worker had begun. A unit whose slot takes it at this very
 * moment may run twice, and counts once.
 */
export interface LeaveGpuDeps {
  db: Database
  dispatch: Pick<Dispatch, 'takeBack' | 'wake' | 'withdraw'>
  queuePlan: QueuePlan
  log: Logger
  metrics: Metrics
  /** False: what started meanwhile is not known yet. */
  isCaughtUp(): boolean
  /** How many slots of online workers serve a queue. */
  slotsOf(queue: string): number
  /** Whether a known worker serves it, also one that is away. */
  isKnown(queue: string): boolean
  /** Looks which of the jobs are complete. */
  onSettled(jobIds: string[]): Promise<void>
  /** For tests: how long workers may be away. */
  awayMs?: number
}

const GPU_CLASSES = classesOfGpu(Number.POSITIVE_INFINITY)
/** What transcriptions are planned for; they come to the others when they have outgrown a card. */
const PLANNED_FOR = 'gpu'
const CPU = 'cpu'
const EVERY_MS = 1_000
/** A machine that starts again is back by then, and would take back none that was moved. */
const AWAY_MS = 2 * 60_000
const AT_ONCE = 500
const STOP_MS = 2_000

export function startLeavingGpus(deps: LeaveGpuDeps): { stop(): Promise<void> } {
  const { slotsOf, isKnown, awayMs = AWAY_MS } = deps
  const stopping = new AbortController()
  const withoutSlotsMs = new Map<string, number>()

  /** Those that nobody serves, nor is expected to. */
  function abandoned(): string[] {
    const nowMs = performance.now()
    for (const name of GPU_CLASSES) {
      if (slotsOf(name) > 0) withoutSlotsMs.delete(name)
      else if (!withoutSlotsMs.has(name)) withoutSlotsMs.set(name, nowMs)
    }
    return [...withoutSlotsMs].flatMap(([name, sinceMs]) => (isKnown(name) && nowMs - sinceMs < awayMs ? [] : name))
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      const queues = abandoned()
      if (queues.length > 0 && slotsOf(CPU) > 0 && deps.isCaughtUp())
        await leave(deps, queues).catch(error =>
          deps.log.warn({ err: error }, 'moving units from GPUs that are gone failed; trying again')
        )
      await pause(EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      // While Redis is away it may wait for it.
      await Promise.race([running, new Promise(resolve => setTimeout(resolve, STOP_MS).unref())])
    }
  }
}

async function leave(deps: LeaveGpuDeps, queues: string[]): Promise<void> {
  const { dispatch, log, metrics } = deps
  const all = await unitsOn(deps.db, queues)
  if (all.length === 0) return
  const free = await dispatch.takeBack(all)
  const held = all.filter(unit => !free.includes(unit))
  const ofHeld = new Set(held.map(({ job_id }) => job_id))
  let count = 0
  for (const [jobId, units] of Map.groupBy(free, unit => unit.job_id)) {
    if (ofHeld.has(jobId)) continue
    count += units.length
    if (await planIfNothingWasDone(deps, jobId, units)) continue
    const { failed } = await transact(deps.db, trx => moveToCpu(trx, units))
    for (const { unit, error } of failed) metrics.unitFailed(unit.task, error.code)
    if (failed.length > 0) await deps.onSettled([jobId])
  }
  if (count === 0) return
  log.info({ queues, units: count }, 'units of transcriptions leave a GPU class that nobody serves')
  dispatch.wake([CPU])
}

/** False: something was, or another class would be chosen for it again. */
async function planIfNothingWasDone(
  { db, dispatch, queuePlan }: LeaveGpuDeps,
  jobId: string,
  units: UnitRow[]
): Promise<boolean> {
  if (units.some(({ queue }) => queue !== PLANNED_FOR)) return false
  const again = await transact(db, async trx => {
    const job = await trx
      .selectFrom('jobs')
      .select('id')
      .where('id', '=', jobId)
      .where('status', 'in', OPEN_JOB)
      .forUpdate()
      .executeTakeFirst()
    const others = await trx
      .selectFrom('units')
      .select('id')
      .where('job_id', '=', jobId)
      .where('status', '<>', 'QUEUED')
      .where(
        'id',
        'not in',
        units.map(({ id }) => id)
      )
      .executeTakeFirst()
    if (!job || others || (await lockUnchanged(trx, units)).length < units.length) return null
    const planned = await planAgain(trx, jobId)
    await notifyJobs(trx, [jobId])
    return planned
  })
  if (!again) return false
  await dispatch.withdraw(again.held.filter(({ status }) => status === 'QUEUED'))
  await queuePlan(again.job, again.job.run_at)
  return true
}

/** Those that wait before those that run; each status by its own index. */
async function unitsOn(db: Database, queues: string[]): Promise<UnitRow[]> {
  const { rows } = await sql<UnitRow>`
    (select * from units where queue = any(${queues}::text[]) and status = 'QUEUED'
      and task = any(${TRANSCRIPTION_TASKS}::text[]) limit ${AT_ONCE})
    union all
    (select * from units where queue = any(${queues}::text[]) and status = 'RUNNING'
      and task = any(${TRANSCRIPTION_TASKS}::text[]) limit ${AT_ONCE})`.execute(db)
  return rows
}

async function moveToCpu(trx: DatabaseTransaction, units: UnitRow[]): Promise<Verdict> {
  const verdict = emptyVerdict()
  for (const unit of await lockUnchanged(trx, units)) {
    if (unit.status === 'QUEUED') await moveQueued(trx, unit)
    else await failAttempt(trx, { ...unit, queue: CPU }, lost(unit), true, verdict)
  }
  await notifyJobs(trx, [...new Set(units.map(({ job_id }) => job_id))])
  return verdict
}

/** Those that are as they were when their entries were taken out of Redis; nobody is waited for. */
async function lockUnchanged(trx: DatabaseTransaction, units: UnitRow[]): Promise<UnitRow[]> {
  const before = new Map(units.map(unit => [unit.id, unit]))
  const { rows } = await sql<UnitRow>`
    select * from units where id = any(${[...before.keys()]}::text[]) for update skip locked`.execute(trx)
  const KEPT = ['queue', 'status', 'entry', 'attempt_id'] as const
  return rows.filter(unit => KEPT.every(key => unit[key] === before.get(unit.id)?.[key]))
}

/** It keeps its place and its pauses. */
async function moveQueued(trx: DatabaseTransaction, { id }: UnitRow): Promise<void> {
  await trx
    .updateTable('units')
    .set(eb => ({ queue: CPU, dispatch: eb('dispatch', '+', 1), entry: null, touched_at: eb.fn<Date>('now') }))
    .where('id', '=', id)
    .execute()
}

function lost({ id, queue, worker_id }: UnitRow) {
  return reportOf('SC_WORKER_LOST', `Worker ${worker_id} had unit ${id}, and no worker is left that serves ${queue}.`)
}
