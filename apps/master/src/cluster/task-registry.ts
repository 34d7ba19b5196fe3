import { classOf, queueName } from '@sc/shared/capability.ts'
import type { DefinedJob } from '@sc/shared/define-job.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { RefusedTask } from '@sc/shared/task-limits.ts'
import { TASK_NAME } from '@sc/shared/task-name.ts'
import type { Database } from '../database/schema.ts'
import type { WorkerPresence, WorkerRow } from './presence.ts'

/** A task that can be posted, as the cluster knows it. */
export interface RegisteredTask {
  name: string
  description: string
  requires: { gpu: boolean; vramGb: number; features: string[] }
  inputSchema: Record<string, unknown>
  outputSchema: Record<string, unknown>
  /** Every worker that registered it, also one that is off. */
  workers: Array<Pick<WorkerRow, 'id' | 'name' | 'status'>>
  /** Where its units go; null: no class of workers is large enough, or it is a job. */
  queue: string | null
  /** A job of several units, whose plan the masters run. */
  isJob: boolean
  /** How many different definitions the workers have; the others are of the one that counts. */
  versions: number
}

export interface TaskRegistry {
  /** By name. */
  list(): Promise<RegisteredTask[]>
  find(name: string): Promise<RegisteredTask | undefined>
  /** What workers registered and the master left out, by worker. */
  refused(): Promise<Array<RefusedTask & { worker: string }>>
}

interface Registration {
  task: TaskDescription
  worker: RegisteredTask['workers'][number]
  atMs: number
}

export interface TaskRegistryDeps {
  db: Database
  presence: Pick<WorkerPresence, 'workers'>
  /** Jobs of the user's own, which this master knows. */
  jobs: DefinedJob[]
}

/** A burst of submissions asks once. */
const KEPT_MS = 500

/**
 * Which tasks there are: what the workers registered, the steps of a transcription left out. Where two workers mean
 * different things by one name, the newest registration counts, one of a worker that is there before one of a worker
 * that is off.
 */
export function createTaskRegistry(deps: TaskRegistryDeps): TaskRegistry {
  const jobs = deps.jobs.map(toJob)
  let kept: { tasks: Promise<RegisteredTask[]>; untilMs: number } | undefined

  function read(): Promise<RegisteredTask[]> {
    const tasks = readRegistrations(deps).then(registrations => withJobs(toTasks(registrations), jobs))
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
    refused: () => readRefused(deps.db)
  }
}

/** A job's name counts before a task's. */
function withJobs(tasks: RegisteredTask[], jobs: RegisteredTask[]): RegisteredTask[] {
  const names = new Set(jobs.map(({ name }) => name))
  const all = [...tasks.filter(({ name }) => !names.has(name)), ...jobs]
  return all.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function toJob({ name, description, inputSchema, outputSchema }: DefinedJob): RegisteredTask {
  const requires = { gpu: false, vramGb: 0, features: [] }
  return { name, description, requires, inputSchema, outputSchema, workers: [], queue: null, isJob: true, versions: 1 }
}

/** Steps of a transcription: they need files that only its plan makes. */
export function isStepOfTranscription(name: string): boolean {
  return name.startsWith('transcribe.')
}

async function readRegistrations({ db, presence }: TaskRegistryDeps): Promise<Registration[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['id', 'name', 'tasks', 'tasks_at'])
    .where('revoked_at', 'is', null)
    .orderBy('name')
    .execute()
  const seen = new Map(presence.workers().map(({ id, status }) => [id, status]))
  return rows.flatMap(({ id, name, tasks, tasks_at }) => {
    const worker = { id, name, status: seen.get(id) ?? ('offline' as const) }
    return tasks
      .filter(task => TASK_NAME.test(task.name) && !isStepOfTranscription(task.name))
      .map(task => ({ task, worker, atMs: tasks_at?.getTime() ?? 0 }))
  })
}

async function readRefused(db: Database): Promise<Array<RefusedTask & { worker: string }>> {
  const rows = await db
    .selectFrom('workers')
    .select(['name', 'refused_tasks'])
    .where('revoked_at', 'is', null)
    .orderBy('name')
    .execute()
  return rows.flatMap(({ name: worker, refused_tasks }) => refused_tasks.map(refused => ({ ...refused, worker })))
}

function toTasks(registrations: Registration[]): RegisteredTask[] {
  const byName = Map.groupBy(registrations, ({ task }) => task.name)
  return [...byName.values()].map(toTask).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function toTask(same: Registration[]): RegisteredTask {
  const isThere = ({ worker }: Registration): number => (worker.status === 'offline' ? 0 : 1)
  const [newest] = same.toSorted((a, b) => isThere(b) - isThere(a) || b.atMs - a.atMs)
  const { name, description, gpu, vramGb, features, builtIn, inputSchema, outputSchema } = (newest as Registration).task
  const base = classOf({ gpu, vramGb, features })
  return {
    name,
    description,
    requires: { gpu, vramGb, features },
    inputSchema,
    outputSchema,
    workers: same.map(({ worker }) => worker),
    isJob: false,
    queue: base === null ? null : queueName(base, builtIn ? null : name),
    versions: new Set(same.map(({ task }) => JSON.stringify(task))).size
  }
}
