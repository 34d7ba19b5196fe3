import { hash } from 'node:crypto'
import { isClass } from '@sc/shared/capability.ts'
import type { LackingTask, TaskDescription } from '@sc/shared/python-protocol.ts'
import { MOST_TASKS, type RefusedTask } from '@sc/shared/task-limits.ts'
import { isStepOfTranscription, TASK_NAME } from '@sc/shared/task-name.ts'
import { type Selectable, sql } from 'kysely'
import type { Database, DatabaseTransaction, LeftTask, WorkersTable } from '../database/schema.ts'
import { readOffers } from './offers.ts'
import { queuesOfWorker } from './rights.ts'

/**
 * DESIGN: whose definition of a task counts. A name belongs to the worker that has offered it for longest without a break,
 * whether it is on or off, until it does not offer it any more or is revoked; then to the next. Another worker has the task
 * when its definition is the same; else it gets no units of it, and the doctor says so. So no newcomer changes what a name
 * means for others, and whoever changes a task does so on the worker that had it first, before or after the others.
 *
 *   offered --registered without it--> left --not again within KEPT_MS--> forgotten
 *                 (its claim stands: a worker that starts offers some of its tasks before others)
 *
 * A task that no worker can run is defined by those that have it in their folder and say what they lack, the first of them
 * likewise: it can be posted, and waits. Such a claim ends where a worker can run the task, and brings no right to a queue.
 */

/** A worker that starts has all its slots ready by then. */
const KEPT_MS = 10 * 60_000
/** Of one worker: as many as it may offer. */
const MOST_LEFT = MOST_TASKS

export type OffersRow = Pick<
  Selectable<WorkersTable>,
  'id' | 'name' | 'tasks' | 'tasks_at' | 'tasks_since' | 'tasks_left' | 'queues'
>

/** A task of one worker that the master leaves out, why, and what to do. */
export interface TaskOfWorker extends RefusedTask {
  worker: string
  next: string
}

export interface CountingTask {
  task: TaskDescription
  /** Workers that have it as it counts. */
  offeredBy: OffersRow[]
  /** Workers that have it in their folder and cannot run it, and what each lacks, in words. */
  lacking: Array<{ row: OffersRow; lack: string }>
  /** How many other definitions of it there are. */
  others: number
}

interface Claim {
  row: OffersRow
  /** Null: it was offered a moment ago. */
  task: TaskDescription | null
  sinceMs: number
  /** What the worker lacks to run it; null: nothing. */
  lack: string | null
  digest(): string
}

export interface Decision {
  /** By name. */
  counting: Map<string, CountingTask>
  refused: Array<TaskOfWorker & { workerId: string }>
}

export function decideTasks(rows: OffersRow[], nowMs: number): Decision {
  const decision: Decision = { counting: new Map(), refused: [] }
  const claims = rows.flatMap(row => claimsOf(row, nowMs))
  for (const [name, all] of Map.groupBy(claims.toSorted(byAge), one => one.name)) {
    const able = all.filter(({ lack }) => lack === null)
    const lacking = all.flatMap(claim => (claim.lack === null ? [] : { ...claim, lack: claim.lack }))
    const [first] = able
    const isSame = (claim: Claim): boolean => !first || claim === first || claim.digest() === first.digest()
    const offered = able.filter(({ task }) => task !== null)
    const having = offered.filter(isSame)
    const differing = offered.filter(claim => !isSame(claim))
    if (first)
      for (const { row } of differing) decision.refused.push({ workerId: row.id, ...refusalOf(name, row, first) })
    const task = [...having, ...lacking.filter(isSame)][0]?.task
    if (!task) continue
    const others = new Set(differing.map(claim => claim.digest())).size
    decision.counting.set(name, { task, offeredBy: having.map(({ row }) => row), lacking, others })
  }
  return decision
}

function byAge(a: Claim, b: Claim): number {
  return a.sinceMs - b.sinceMs || (a.row.id < b.row.id ? -1 : 1)
}

function claimsOf(row: OffersRow, nowMs: number): Array<Claim & { name: string }> {
  const { tasks, tasks_at, tasks_since, tasks_left } = row
  // A task may be called `constructor`.
  const since = new Map(Object.entries(tasks_since))
  const sinceMs = (name: string): number => since.get(name) ?? tasks_at?.getTime() ?? 0
  return [
    ...tasks.filter(isOwn).map(task => {
      const lack = isLacking(task) ? task.lack : null
      return { row, name: task.name, task, sinceMs: sinceMs(task.name), lack, digest: () => digestOf(task) }
    }),
    ...Object.entries(tasks_left)
      .filter(([, { leftMs }]) => isKept(leftMs, nowMs))
      .map(([name, { digest }]) => {
        return { row, name, task: null, sinceMs: sinceMs(name), lack: null, digest: () => digest }
      })
  ]
}

/** A task of the user's own, under a name of its own. */
function isOwn({ name, builtIn }: TaskDescription): boolean {
  return TASK_NAME.test(name) && !builtIn && !isStepOfTranscription(name)
}

function isLacking(task: TaskDescription | LackingTask): task is LackingTask {
  return 'lack' in task
}

/** One that its worker can run. */
function isOffer(task: TaskDescription | LackingTask): boolean {
  return isOwn(task) && !isLacking(task)
}

function isKept(leftMs: number, nowMs: number): boolean {
  return nowMs - leftMs < KEPT_MS
}

function refusalOf(name: string, { name: worker }: OffersRow, { row: owner, sinceMs }: Claim): TaskOfWorker {
  const since = new Date(sinceMs).toISOString()
  return {
    worker,
    name,
    reason: `it is defined otherwise than by the worker ${owner.name}, which has offered it first, since ${since}: that definition counts, and this worker gets no units of it`,
    next: `If you are changing the task, put the same file into the tasks folder of each machine; it is changed for all once it is on ${owner.name}. If ${owner.name} is not coming back, or not to be trusted, revoke it: DELETE /api/workers/${owner.id}. If ${worker} is not to be trusted, revoke that.`
  }
}

/**
 * Of what decides where units go and what is in them; not of the description, which is only shown. As PostgreSQL gives the
 * task back: its jsonb has one order of keys.
 */
function digestOf(task: TaskDescription): string {
  const known = digests.get(task)
  if (known !== undefined) return known
  const { gpu, vramGb, features, inputSchema, outputSchema, retryCrashes = true } = task
  const once = retryCrashes ? [] : ['runs once']
  // What only the master's check is told by is not of the definition: workers of before do not write it.
  const told = (key: string, value: unknown): unknown => (FOR_THE_CHECK.has(key) ? undefined : value)
  const digest = hash('sha256', JSON.stringify([gpu, vramGb, features, inputSchema, outputSchema, ...once], told))
  digests.set(task, digest)
  return digest
}

/** See `jobs/loosen-schema.ts`. */
const FOR_THE_CHECK = new Set(['x-lax', 'x-unchecked'])

/** Of tasks that are kept in memory (`offers.ts`). */
const digests = new WeakMap<TaskDescription, string>()

/**
 * What is kept of a worker that registers `tasks`: since when it has each, and what it has left. One that it could not run
 * before is new: who could comes first.
 */
export function stampsAfter(
  before: Pick<OffersRow, 'tasks' | 'tasks_since' | 'tasks_left'>,
  tasks: OffersRow['tasks'],
  nowMs: number
): { since: Record<string, number>; left: Record<string, LeftTask> } {
  const names = new Set(tasks.filter(isOffer).map(({ name }) => name))
  const leaving = before.tasks
    .filter(task => isOffer(task) && !names.has(task.name))
    .map(task => [task.name, { leftMs: nowMs, digest: digestOf(task) }] as const)
  const earlier = Object.entries(before.tasks_left)
  const forgotten = new Set(earlier.filter(([, { leftMs }]) => !isKept(leftMs, nowMs)).map(([name]) => name))
  const kept = earlier.filter(([name]) => !names.has(name) && !forgotten.has(name))
  const left = Object.fromEntries([...kept, ...leaving].slice(-MOST_LEFT))
  const stands = new Map(Object.entries(before.tasks_since).filter(([name]) => !forgotten.has(name)))
  const lacked = before.tasks.filter(task => isOwn(task) && isLacking(task)).map(({ name }) => name)
  for (const name of lacked) if (names.has(name) && !Object.hasOwn(before.tasks_left, name)) stands.delete(name)
  const all = new Set([...tasks.filter(isOwn).map(({ name }) => name), ...Object.keys(left)])
  const since = [...all].map(name => [name, stands.get(name) ?? nowMs] as const)
  return { since: Object.fromEntries(since), left }
}

/** One at a time decides: two would each not see what the other wrote. Until the end of the transaction. */
export async function lockTasks(trx: DatabaseTransaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('tasks of workers', 0))`.execute(trx)
}

/** Which queues each worker may be given, after what any of them offers has changed. Answers those that have others now. */
export async function shareOutTasks(trx: DatabaseTransaction): Promise<string[]> {
  const rows = (await readOffers(trx)).filter(({ queues }) => queues !== null)
  const { refused } = decideTasks(rows, Date.now())
  const changed: string[] = []
  for (const { id, tasks, queues } of rows) {
    const out = new Set(refused.filter(({ workerId }) => workerId === id).map(({ name }) => name))
    const own = tasks.filter(task => isOffer(task) && !out.has(task.name))
    const next = queuesOfWorker((queues ?? []).filter(isClass), own)
    if (JSON.stringify(next) === JSON.stringify(queues)) continue
    await trx.updateTable('workers').set({ queues: next }).where('id', '=', id).execute()
    changed.push(id)
  }
  return changed
}

/** Claims that stand no more, since nothing was offered for KEPT_MS: what others offer counts. */
export async function forgetLeftTasks(db: Database): Promise<string[]> {
  const lastMs = Date.now() - KEPT_MS
  const isOver = sql<boolean>`exists (
    select from jsonb_each(tasks_left) as gone (name, was) where (was ->> 'leftMs')::float8 <= ${lastMs}::float8
  )`
  const over = await db.selectFrom('workers').select('id').where(isOver).limit(1).executeTakeFirst()
  if (!over) return []
  return await db.transaction().execute(async trx => {
    await lockTasks(trx)
    const rows = await trx
      .selectFrom('workers')
      .select(['id', 'tasks', 'tasks_since', 'tasks_left'])
      .where(isOver)
      .execute()
    for (const { id, ...before } of rows) {
      const { since, left } = stampsAfter(before, before.tasks, Date.now())
      await trx
        .updateTable('workers')
        .set({ tasks_since: JSON.stringify(since), tasks_left: JSON.stringify(left) })
        .where('id', '=', id)
        .execute()
    }
    return await shareOutTasks(trx)
  })
}
