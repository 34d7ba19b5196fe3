import { classOf, queueName } from '@sc/shared/capability.ts'
import { TASKS_FOLDER } from '@sc/shared/presence.ts'
import type { Database } from '../database/schema.ts'
import type { JobDescription } from '../own-jobs/protocol.ts'
import { readOffers } from './offers.ts'
import type { WorkerPresence, WorkerRow } from './presence.ts'
import { decideTasks, type OffersRow, type TaskOfWorker } from './task-claims.ts'

/** A task that can be posted, as the cluster knows it. */
export interface RegisteredTask {
  name: string
  description: string
  requires: { gpu: boolean; vramGb: number; features: string[] }
  /** False: what may have begun is not run again. */
  retryCrashes: boolean
  inputSchema: Record<string, unknown>
  outputSchema: Record<string, unknown>
  /** Every worker that has it as it counts, also one that is off. */
  workers: Array<Pick<WorkerRow, 'id' | 'name' | 'status'>>
  /** Every worker that has it in its folder and cannot run it, and what it lacks, in words. */
  lacking: Array<Pick<WorkerRow, 'id' | 'name' | 'status'> & { lack: string }>
  /** Where its units go; null: no class of workers is large enough, or it is a job. */
  queue: string | null
  /** A job of several units, whose plan the masters run. */
  isJob: boolean
  /** How many different definitions the workers have. */
  versions: number
}

export interface TaskRegistry {
  /** By name. */
  list(): Promise<RegisteredTask[]>
  find(name: string): Promise<RegisteredTask | undefined>
  /** What workers registered and the master left out, by worker. */
  refused(): Promise<TaskOfWorker[]>
  /** What workers leave out of their tasks folders: names and reasons, for people. */
  leftOut(): string[]
}

export interface TaskRegistryDeps {
  db: Database
  presence: Pick<WorkerPresence, 'workers'>
  /** Jobs of the user's own, which this master knows now. */
  jobs(): JobDescription[]
}

/** A burst of submissions asks once. */
const KEPT_MS = 500

/**
 * Which tasks there are: what the workers registered, the steps of a transcription left out. Where two workers mean
 * different things by one name, `task-claims.ts` says whose counts.
 */
export function createTaskRegistry(deps: TaskRegistryDeps): TaskRegistry {
  let kept: { tasks: Promise<RegisteredTask[]>; untilMs: number } | undefined

  function read(): Promise<RegisteredTask[]> {
    const tasks = readTasks(deps).then(found => withJobs(found, deps.jobs().map(toJob)))
    kept = { tasks, untilMs: performance.now() + KEPT_MS }
    tasks.catch(() => {
      kept = undefined
    })
    return tasks
  }

  const byName = (name: string) => (tasks: RegisteredTask[]) => tasks.find(task => task.name === name)
  return {
    list: read,
    find: async name => {
      const recent = kept && kept.untilMs > performance.now() ? await kept.tasks.then(byName(name)) : undefined
      return recent ?? (await read().then(byName(name)))
    },
    refused: () => readRefused(deps.db),
    leftOut: () =>
      deps.presence
        .workers()
        .flatMap(({ name, findings }) =>
          findings
            .filter(({ check }) => check.startsWith(TASKS_FOLDER))
            .map(({ check, found }) => `${check.slice(TASKS_FOLDER.length)} of ${name}: ${found}`)
        )
  }
}

/** A job's name counts before a task's. */
function withJobs(tasks: RegisteredTask[], jobs: RegisteredTask[]): RegisteredTask[] {
  const names = new Set(jobs.map(({ name }) => name))
  const all = [...tasks.filter(({ name }) => !names.has(name)), ...jobs]
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function toJob({ name, description, inputSchema, outputSchema }: JobDescription): RegisteredTask {
  const requires = { gpu: false, vramGb: 0, features: [] }
  const ofWorkers = { retryCrashes: true, workers: [], lacking: [], queue: null, versions: 1 }
  return { name, description, requires, inputSchema, outputSchema, ...ofWorkers, isJob: true }
}

async function readTasks({ db, presence }: TaskRegistryDeps): Promise<RegisteredTask[]> {
  const { counting } = decideTasks(await readOffers(db), Date.now())
  const seen = new Map(presence.workers().map(({ id, status }) => [id, status]))
  const toWorker = ({ id, name }: OffersRow) => ({ id, name, status: seen.get(id) ?? ('offline' as const) })
  return [...counting.values()].map(({ task, offeredBy, lacking, others }) => {
    const { name, description, gpu, vramGb, features, retryCrashes = true, inputSchema, outputSchema } = task
    const base = classOf({ gpu, vramGb, features })
    return {
      name,
      description,
      requires: { gpu, vramGb, features },
      retryCrashes,
      inputSchema,
      outputSchema,
      workers: offeredBy.map(toWorker),
      lacking: lacking.map(({ row, lack }) => ({ ...toWorker(row), lack })),
      isJob: false,
      queue: base === null ? null : queueName(base, name),
      versions: 1 + others
    }
  })
}

async function readRefused(db: Database): Promise<TaskOfWorker[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['name', 'refused_tasks'])
    .where('revoked_at', 'is', null)
    .orderBy('name')
    .execute()
  const { refused } = decideTasks(await readOffers(db), Date.now())
  return [
    ...rows.flatMap(({ name: worker, refused_tasks }) => refused_tasks.map(one => ({ ...one, worker, next: ANEW }))),
    ...refused
  ]
}

const ANEW = 'Change the task in the tasks folder of that machine, and start its worker again.'
