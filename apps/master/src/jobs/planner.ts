/**
 * DESIGN: which jobs are planned, and by which master. PostgreSQL knows the jobs that are not planned yet; a master that
 * has a place free takes the next of them by a lease, a row of `plans`, and renews it while it plans.
 *
 *   unplanned job --claim: lease of this master--> under way --ended--> row removed
 *                                                     |--failed, tries left--> row stays: not before a pause is over
 *                                                     |--master stops-------> given back at once
 *                                                     \--master killed------> lease runs out, or its next start ends it:
 *                                                                             a try is lost, as a file may be what kills
 *
 * Places are counted by key and kind (`plan-lanes.ts`), so that nobody's recordings fill them all; those under way take
 * turns (`turns.ts`). A plan that runs twice, because a lease ran out under it, does no harm: units are rows once.
 */
import { randomUUID } from 'node:crypto'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../database/schema.ts'
import { type Candidate, chooseCandidate, planCandidates } from './plan-lanes.ts'
import { createTurns, type Turn } from './turns.ts'

export interface PlannerDeps {
  db: Database
  log: Logger
  /** Name of this master, the same after a restart. */
  consumer: string
  /** Kinds of jobs whose plan takes no time of its own. */
  lightTasks(): string[]
  /**
   * `triesLeft` counts down to 0; a throw with tries left runs the plan again after a growing pause. Below 0: the last try ended
   * with its master, and there is to be no other.
   */
  run(jobId: string, triesLeft: number, signal: AbortSignal, turn: Turn): Promise<void>
}

export interface Planner {
  /** There may be something to plan. */
  wake(): void
  stop(): Promise<void>
}

/** Decoding and voice activity of one recording take two cores. */
const TURNS_AT_ONCE = 2
const TRIES = 4
const FIRST_PAUSE_SECONDS = 1
const LEASE_SECONDS = 10
const RENEW_MS = 2_000
/** A plan of a user's own may not listen: its lease is given back all the same. */
const STOP_MS = 3_000
/** For what other masters left, times that have come, and wakes that were lost. */
const LOOK_MS = 1_000

interface Open extends Candidate {
  readonly stop: AbortController
  readonly ended: Promise<void>
}

export function startPlanner(deps: PlannerDeps): Planner {
  const { db, log } = deps
  const owner = `${deps.consumer}/${randomUUID()}`
  const stopping = new AbortController()
  const turns = createTurns({ atOnce: TURNS_AT_ONCE })
  const open = new Map<string, Open>()
  const lastBegun = new Map<string, number>()
  let woken = new AbortController()

  async function fill(): Promise<void> {
    for (;;) {
      const waiting = (await planCandidates(db, deps.lightTasks())).filter(({ id }) => !open.has(id))
      const next = chooseCandidate(waiting, open.values(), lastBegun)
      if (!next || stopping.signal.aborted) return
      const tries = await claim(db, next.id, owner)
      if (tries === null) continue
      const stop = new AbortController()
      lastBegun.set(next.key_id, performance.now())
      open.set(next.id, { ...next, stop, ended: runOne(next, tries, stop.signal) })
    }
  }

  async function runOne({ id, key_id }: Candidate, tries: number, lost: AbortSignal): Promise<void> {
    const turn = turns.enter(key_id)
    try {
      await deps.run(id, TRIES - 1 - tries, AbortSignal.any([stopping.signal, lost]), turn)
      await sql`delete from plans where job_id = ${id} and owner = ${owner}`.execute(db)
    } catch (error) {
      const isFailed = !stopping.signal.aborted && !lost.aborted
      if (isFailed) log.warn({ err: error, jobId: id }, 'a plan failed; it is tried again')
      await giveBack(db, id, owner, isFailed ? FIRST_PAUSE_SECONDS * 2 ** tries : null).catch(() => {
        // PostgreSQL is away: the lease runs out by itself.
      })
    } finally {
      turn.leave()
      open.delete(id)
      wake()
    }
  }

  async function renew(): Promise<void> {
    const ids = [...open.keys()]
    if (ids.length === 0) return
    const { rows } = await sql<{ job_id: string }>`
      update plans set until = now() + make_interval(secs => ${LEASE_SECONDS})
      where owner = ${owner} and job_id = any(${ids}::text[]) returning job_id`.execute(db)
    const kept = new Set(rows.map(({ job_id }) => job_id))
    // Another master has taken it over, or it is gone.
    for (const id of ids) if (!kept.has(id)) open.get(id)?.stop.abort()
  }

  function wake(): void {
    woken.abort()
  }

  let isFirst = true
  async function look(): Promise<void> {
    if (isFirst) await endOwn(db, deps.consumer)
    isFirst = false
    await fill()
  }

  const filling = (async () => {
    while (!stopping.signal.aborted) {
      woken = new AbortController()
      await look().catch(error => log.debug({ err: error }, 'looking for jobs to plan failed; trying again'))
      await pause(LOOK_MS, AbortSignal.any([stopping.signal, woken.signal]))
    }
  })()
  const renewing = (async () => {
    while (!stopping.signal.aborted) {
      await renew().catch(error => log.debug({ err: error }, 'renewing the leases of plans failed; trying again'))
      await pause(RENEW_MS, stopping.signal)
    }
  })()

  return {
    wake,
    stop: async () => {
      stopping.abort()
      await Promise.all([filling, renewing])
      const ended = Promise.all([...open.values()].map(one => one.ended))
      const limit = new AbortController()
      await Promise.race([ended, pause(STOP_MS, limit.signal)])
      limit.abort()
      for (const id of open.keys()) await giveBack(db, id, owner, null).catch(() => {})
    }
  }
}

/** The tries that were spent; null: it is another master's, planned, or no longer open. */
async function claim(db: Database, jobId: string, owner: string): Promise<number | null> {
  const { rows } = await sql<{ tries: number }>`
    insert into plans (job_id, owner, until)
    select id, ${owner}::text, now() + make_interval(secs => ${LEASE_SECONDS}) from jobs
      where id = ${jobId} and not planned and status in ('PENDING', 'RUNNING')
    on conflict (job_id) do update set owner = excluded.owner, until = excluded.until,
      tries = plans.tries + (plans.until > '-infinity')::int where plans.until <= now()
    returning tries`.execute(db)
  return rows[0]?.tries ?? null
}

/** `pauseSeconds` null: at once, and no try is lost. */
async function giveBack(db: Database, jobId: string, owner: string, pauseSeconds: number | null): Promise<void> {
  await sql`
    update plans set until = '-infinity', tries = tries + ${pauseSeconds === null ? 0 : 1},
      not_before = now() + make_interval(secs => ${pauseSeconds ?? 0})
    where job_id = ${jobId} and owner = ${owner}`.execute(db)
}

/** What this master had under way when it was killed. */
async function endOwn(db: Database, consumer: string): Promise<void> {
  await sql`update plans set until = now() where until > now() and starts_with(owner, ${`${consumer}/`})`.execute(db)
}
