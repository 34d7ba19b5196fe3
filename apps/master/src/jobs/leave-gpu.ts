import { VRAM_CLASSES_GB } from '@sc/shared/capability.ts'
import { reportOf } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database, DatabaseTransaction, UnitRow } from '../database/schema.ts'
import { transact } from '../database/transact.ts'
import type { Metrics } from '../metrics.ts'
import { TRANSCRIPTION_TASKS } from '../transcription/check-output.ts'
import type { Dispatch } from './dispatch.ts'
import { notifyJobs } from './settle.ts'
import { emptyVerdict, failAttempt, type Verdict } from './verdict.ts'

/**
 * A transcription is planned for GPUs where a worker has one; it can be done without. Where no slot serves the GPU class
 * that its units wait for, they go to `cpu`, if slots serve that: at once when no known worker has such a GPU any more (it
 * was revoked), else when those that have one were away for a while.
 *
 * What a slot has is left alone: a unit is moved once its entry could be taken out of Redis, which a locked one cannot.
 * That includes units that a lost worker had begun. A unit whose slot takes it at this very moment may run twice, and counts
 * once.
 */
export interface LeaveGpuDeps {
  db: Database
  dispatch: Pick<Dispatch, 'takeBack' | 'wake'>
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

const GPU_CLASSES = ['gpu', ...VRAM_CLASSES_GB.map(gigabytes => `gpu.vram${gigabytes}`)]
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

async function leave({ db, dispatch, log, metrics, onSettled }: LeaveGpuDeps, queues: string[]): Promise<void> {
  const waiting = await unitsOn(db, queues)
  if (waiting.length === 0) return
  const free = await dispatch.takeBack(waiting)
  const verdict = await transact(db, trx => moveToCpu(trx, free))
  if (verdict.changed.size === 0) return
  log.info({ queues, jobs: verdict.changed.size }, 'units of transcriptions go to CPU slots: no GPU is left for them')
  dispatch.wake([CPU])
  for (const { unit, error } of verdict.failed) metrics.unitFailed(unit.task, error.code)
  if (verdict.failed.length > 0) await onSettled([...verdict.changed])
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
    if (unit.status === 'QUEUED') await moveQueued(trx, unit, verdict)
    else await failAttempt(trx, { ...unit, queue: CPU }, lost(unit), true, verdict)
  }
  await notifyJobs(trx, [...verdict.changed])
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
async function moveQueued(trx: DatabaseTransaction, { id, job_id }: UnitRow, verdict: Verdict): Promise<void> {
  await trx
    .updateTable('units')
    .set(eb => ({ queue: CPU, dispatch: eb('dispatch', '+', 1), entry: null, touched_at: eb.fn<Date>('now') }))
    .where('id', '=', id)
    .execute()
  verdict.changed.add(job_id)
}

function lost({ id, queue, worker_id }: UnitRow) {
  return reportOf('SC_WORKER_LOST', `Worker ${worker_id} had unit ${id}, and no worker is left that serves ${queue}.`)
}
