import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { FLOOD, GRAVE, type Offences, weightOf } from '../cluster/offences.ts'
import type { Room } from '../cluster/room.ts'
import { forgetLeftTasks } from '../cluster/task-claims.ts'
import type { TaskRegistry } from '../cluster/task-registry.ts'
import type { Database } from '../database/schema.ts'
import type { Metrics } from '../metrics.ts'
import { createBackgroundQueue } from '../queues/background-queue.ts'
import { JOB_QUEUES, MERGE_QUEUE, OWN_MERGE_QUEUE } from '../queues/job-queues.ts'
import { startQueueKeeper } from '../queues/keep-queues.ts'
import { forgetMissing } from '../queues/mend-queue.ts'
import { createOpenQueues } from '../queues/open-queues.ts'
import { takenAmong } from '../queues/queues.ts'
import type { Tickets } from '../transport/tickets.ts'
import { startTransport, type Transport, type TransportDeps } from '../transport/transport.ts'
import type { Outbound } from '../webhooks/post-webhook.ts'
import { startWebhookSender } from '../webhooks/sender.ts'
import type { Holds } from './accept-batch.ts'
import { createAfterEnd } from './after-end.ts'
import { applySaid } from './apply-said.ts'
import { createCancel } from './cancel.ts'
import type { Definitions } from './definition.ts'
import { createDispatch, type Dispatch } from './dispatch.ts'
import { startDueUnits } from './due-units.ts'
import type { JobFeed } from './feed.ts'
import { createFinish, type SettledJob, settledJobs } from './finish.ts'
import { startLeavingGpus } from './leave-gpu.ts'
import { createPace } from './pace.ts'
import { createPlan, type QueuePlan } from './plan.ts'
import { startPlanner } from './planner.ts'
import { startReconciler } from './reconcile.ts'
import { createRedo } from './redo.ts'
import { createRetry } from './retry.ts'
import { createRunOnce } from './run-once.ts'
import { startSchedules } from './schedules.ts'
import { createSubmit } from './submit.ts'
import { createSubmitTask } from './submit-task.ts'
import type { CheckInput } from './task-input.ts'
import { startWaitTimeouts } from './wait-timeouts.ts'

export interface EngineDeps {
  db: Database
  /** The dispatcher's own connection: a hundred submissions at once are not to keep slots waiting. */
  dispatchDb: Database
  /** For what each request does; see `connectDatabase`, `byIndexes`. */
  requestDb: Database
  redis: Redis
  /** Connections of the engine's own: for BullMQ, for reads that block, to listen on. */
  queueRedis: Redis
  blockingRedis: Redis
  subscriber: Redis
  blobs: BlobStore
  feed: JobFeed
  log: Logger
  metrics: Metrics
  tickets: Tickets
  offences: Pick<Offences, 'record'>
  /** This master, also after its restart. */
  owner: string
  workerIds(): Promise<string[]>
  isPresent(workerId: string): boolean
  address: TransportDeps['address']
  /** Address of the API for clients; undefined: it does not listen yet. */
  apiUrl(): string | undefined
  /** For tests: see `fetch-public.ts`. */
  outbound?: Outbound
  /** See `transport.ts`. */
  graceMs?: number
  /** How often queues are looked at, see `keep-queues.ts`, and webhooks that are due. */
  lookEveryMs?: number
  /** How many slots of online workers serve a queue. */
  slotsOf(queue: string): number
  /** Whether a known worker serves a queue, also one that is away. */
  isKnown(queue: string): boolean
  tasks: TaskRegistry
  checkInput: CheckInput
  room: Pick<Room, 'check' | 'disk' | 'mayStore'>
  definitions: Definitions
}

export interface Engine {
  submit: ReturnType<typeof createSubmit>
  submitTask: ReturnType<typeof createSubmitTask>
  cancel: ReturnType<typeof createCancel>
  retry: ReturnType<typeof createRetry>
  redo: ReturnType<typeof createRedo>
  dispatch: Dispatch
  /** Workers came or went. */
  workersChanged(): void
  /** From now on schedules submit what is due: once the master listens. */
  startSchedules(): void
  /** What was wrong with queues in Redis, and is with what workers write. */
  findings(): Finding[]
  stop(): Promise<void>
}

const WEIGHTS = { wrong: 1, grave: GRAVE, flood: FLOOD } as const
const MERGES_AT_ONCE = 2
/** They run in a process of their own, and hold up each other only. */
const OWN_MERGES_AT_ONCE = 2

/**
 * The way of a job: submit -> plan -> (units, on the workers) -> collect -> merge -> webhook. What is to be planned,
 * PostgreSQL knows; the other arrows are entries in queues that it can fill again: the reconciler does.
 */
export async function startEngine(deps: EngineDeps): Promise<Engine> {
  const { db, redis, queueRedis, blobs, log, metrics, definitions } = deps
  const pace = createPace()
  let transport: Transport | undefined
  const onQueued = (name: string): void => transport?.queued(name)
  const onQueuedOne = (name: string): void => transport?.queuedOne(name)
  const isAwaited = (name: string): boolean => transport?.isAwaited(name) ?? false
  const takenFrom = (queue: string): string[] => transport?.takenFrom(queue) ?? []
  const onStalled = (queue: string, entries: string[]): void => {
    const held = new Set(takenFrom(queue))
    const lost = entries.filter(entry => !held.has(entry))
    const failed = (error: unknown): void => log.debug({ err: error }, 'units that stalled could not be ended')
    runOnce.endAmong(lost).catch(failed)
  }
  const queues = createOpenQueues({ ...deps, redis: queueRedis, onWaiting: onQueued, onStalled, takenFrom })
  const asked = { onQueued, onQueuedOne, isAwaited, takenFrom }
  const dispatch = createDispatch({ ...deps, ...asked, db: deps.dispatchDb, queues, pace })
  const background = (name: string, concurrency: number, run: Parameters<typeof createBackgroundQueue>[0]['run']) => {
    const onError = (error: Error): void => log.warn({ err: error, queue: name }, 'a background step failed')
    return createBackgroundQueue({ redis: queueRedis, name, concurrency, run, onError })
  }

  const webhooks = startWebhookSender(deps)
  const onEnded = createAfterEnd({ db, blobs, metrics, webhooks })
  const settle = { db, dispatch, redis, onEnded }
  const finish = createFinish({ ...settle, blobs, definitions })
  const merges = background(MERGE_QUEUE, MERGES_AT_ONCE, finish)
  const ownMerges = background(OWN_MERGE_QUEUE, OWN_MERGES_AT_ONCE, finish)
  const queueMerge = async ({ id, task }: SettledJob): Promise<void> =>
    await (definitions.own().includes(task) ? ownMerges : merges).add(id)
  const onSettled = async (jobIds: string[]): Promise<void> => {
    for (const job of await settledJobs(db, jobIds)) await queueMerge(job)
  }
  const onPlanned = (jobId: string): Promise<void> => onSettled([jobId])
  const runPlan = createPlan({ ...deps, ...settle, definitions, onPlanned })
  const planner = startPlanner({ db, log, consumer: deps.owner, lightTasks: definitions.own, run: runPlan })
  const queuePlan: QueuePlan = async () => planner.wake()
  const onRegistered = (workerIds: string[]): void => transport?.registered(workerIds)
  const holds: Holds = (workerId, unitId) => transport?.holds(workerId, unitId) ?? false
  const onRefused = (workerId: string, reason: string): void => deps.offences.record(workerId, reason, GRAVE)
  const applying = { ...settle, log, metrics, pace, onSettled, onRegistered, onRefused, holds }
  const runOnce = createRunOnce({ ...settle, metrics, onSettled })
  transport = await startTransport({
    ...deps,
    queues,
    runOnce,
    apply: said => applySaid(applying, said),
    onRefused: (workerId, reason, gravity, cost) =>
      deps.offences.record(workerId, reason, WEIGHTS[gravity] + weightOf(cost))
  })
  const { isCaughtUp } = transport
  const reconciler = startReconciler({
    ...settle,
    log,
    isCaughtUp,
    queueMerge,
    isOffered: queue => deps.slotsOf(queue) > 0 || deps.isKnown(queue),
    runOnce,
    takenAmong: async (queue, entries) =>
      new Set([...takenFrom(queue), ...(await takenAmong(queues.get(queue), entries))]),
    forgetLeftTasks: async () => onRegistered(await forgetLeftTasks(db)),
    forgetMissing: (queue, ids) => forgetMissing(redis, queue, ids)
  })
  const keeper = startQueueKeeper({ ...deps, ...settle, queues, jobQueues: JOB_QUEUES, reconcileNow: reconciler.now })
  const dueUnits = startDueUnits({ ...deps, dispatch })
  const waitTimeouts = startWaitTimeouts({ ...deps, ...settle, isCaughtUp, onSettled })
  const leavingGpus = startLeavingGpus({ ...deps, ...settle, queuePlan, isCaughtUp, onSettled })
  const submitTask = createSubmitTask({ ...deps, dispatch, queuePlan, isAwaited })
  let schedules: ReturnType<typeof startSchedules> | undefined

  return {
    submit: createSubmit({ db, queuePlan }),
    submitTask,
    cancel: createCancel(settle),
    retry: createRetry({ db, dispatch, queuePlan, onEnded }),
    redo: createRedo({ db, dispatch, redis, queuePlan, onEnded }),
    dispatch,
    workersChanged: transport.wake,
    startSchedules: () => {
      schedules = startSchedules({ ...deps, submitTask })
    },
    findings: () => [...keeper.findings(), ...transport.findings()],
    stop: async () => {
      // At once: none is to go on because another hangs.
      await Promise.all([
        schedules?.stop(),
        dueUnits.stop(),
        waitTimeouts.stop(),
        leavingGpus.stop(),
        reconciler.stop(),
        keeper.stop(),
        planner.stop(),
        merges.close(),
        ownMerges.close(),
        webhooks.stop()
      ])
      await transport?.stop()
      await dispatch.close()
      await queues.close()
    }
  }
}
