import { hostname } from 'node:os'
import { join } from 'node:path'
import { LLM_SLOT } from '@sc/shared/capability.ts'
import type { Logger } from '@sc/shared/log.ts'
import { DRAINED_REASON } from '@sc/shared/presence.ts'
import { closeRedis, connectRedis, isLoopback, type Redis } from '@sc/shared/redis.ts'
import { MASTER_KEY } from '@sc/shared/redis-keys.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import type { ControlMessage } from '@sc/shared/unit.ts'
import type { Enrolment } from './enrol/enrol.ts'
import { openBlobCache } from './inputs/blob-cache.ts'
import { fetchBlob } from './inputs/fetch-blob.ts'
import { prefetchNext } from './inputs/prefetch.ts'
import { fetchUnitFiles } from './inputs/unit-files.ts'
import { openModels } from './models/models.ts'
import { watchLlmServer } from './probe/llm-server.ts'
import { RAM_BYTES } from './probe/machine.ts'
import { classesOf, queuesOf, type SlotPlan, type SlotPlanner } from './probe/slot-plan.ts'
import { pythonEnv } from './python/command.ts'
import { createCancelled } from './report/cancelled.ts'
import { listenToControl } from './report/control.ts'
import { type FindingsDeps, type OwnFindings, watchFindings } from './report/findings.ts'
import { openOutbox } from './report/outbox.ts'
import { reportPresence } from './report/presence.ts'
import { createRegistration } from './report/registration.ts'
import { createRow } from './report/row.ts'
import { followGpus } from './slots/follow-gpus.ts'
import { startLockKeeper } from './slots/lock-keeper.ts'
import { followQuietHours } from './slots/quiet-hours.ts'
import { createServedQueues } from './slots/served-queues.ts'
import { Slot } from './slots/slot.ts'
import { createSlotSet, type OwnedSlot, type SlotSet } from './slots/slot-set.ts'
import { createUnitWait } from './slots/unit-wait.ts'
import type { Command } from './tasks/process-group.ts'
import { SlotTasks } from './tasks/slot-tasks.ts'
import { watchFolder } from './tasks/watch-folder.ts'

const LAST_WORDS_MS = 2_000
/** nvidia-smi takes a good part of a second where there are several cards. */
const LOOK_AT_GPUS_EVERY_MS = 5_000
/** Of the machine's memory, for the children of all slots together. */
const CHILDREN_SHARE = 0.6

export interface WorkerDeps {
  name: string
  identity: Enrolment
  brokerUrl: string
  /** For everything that does not block. */
  redis: Redis
  workerDir: string
  planner: SlotPlanner
  python: Command
  modelsDir: string
  tasksDir: string | null
  /** Instead of the address that the master publishes. */
  masterUrl: string | undefined
  /** Why no units are to be taken at this time of day; null: they are. Default: never. */
  quietReason?: () => string | null
  /** The master has thrown this worker out. */
  onRevoked?: () => void
  /** Where the worker's own doctor looks while it runs. Default: nowhere. */
  doctor?: Pick<FindingsDeps, 'dataDir' | 'isOfThisMachine' | 'everyMs'>
  lookAtGpusEveryMs?: number
  /** A slot that nobody wakes looks for units after so long. */
  lookAgainMs?: number
  /** Between two units, a child with more resident memory is replaced. Default: its share of CHILDREN_SHARE. */
  maxChildBytes?: number
  log: Logger
}

export interface RunningWorker {
  /** Before `stop`: lets what runs finish, and takes nothing new. */
  takeNoMore(): void
  /** Resolves when no unit runs, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>
  /** Gives back what runs, says so, and ends every child and connection but `redis`. */
  stop(): Promise<void>
}

/** Builds the worker: slots, and between them and the master the outbox, presence, control and blobs. */
export async function startWorker(deps: WorkerDeps): Promise<RunningWorker> {
  const { identity, redis, log, brokerUrl, name, planner } = deps
  const releasers = createReleasers(step => log.debug({ step }, 'Stopping'))
  const connect = (use: string, blocking = false): Redis =>
    connectRedis(brokerUrl, { name: `worker-${name}-${use}`, blocking, log })

  let findings: OwnFindings | undefined
  let knownUrl = deps.masterUrl ?? ''
  const httpUrl = async (): Promise<string> => {
    // Redis may have been emptied, and the master not yet have published itself again.
    if (!deps.masterUrl) knownUrl = (await readMasterUrl(redis, isLoopback(brokerUrl))) ?? knownUrl
    return knownUrl
  }
  const source = { httpUrl, key: identity.key }
  const cache = await openBlobCache(join(deps.workerDir, 'cache'), (key, path, signal) =>
    fetchBlob(source, key, path, signal)
  )
  releasers.add('blob cache', cache.close)
  const plain = connect('reports')
  const outbox = openOutbox(plain, identity.workerId, log)
  const registration = createRegistration(outbox)
  const locks = startLockKeeper(log)
  releasers.add('locks', locks.stop)
  const row = await createRow({ id: identity.workerId, name, hostname: hostname() }, deps.modelsDir)
  releasers.add('load figures', row.stop)
  const models = openModels({ modelsDir: deps.modelsDir, source, onChange: row.look, log })
  releasers.add('models', models.close)
  const cancelled = createCancelled()
  const served = createServedQueues({ redis, plain, log })
  const llm = watchLlmServer()
  const slotTasks = new Set<SlotTasks>()
  let slotsMade = 0

  function createSlot(plan: SlotPlan): OwnedSlot {
    const queues = served.forSlot()
    const blocking = connect(plan.id, true)
    const { python, modelsDir, tasksDir } = deps
    const env = () => pythonEnv(plan.device, cpuLanes())
    const tasks = new SlotTasks({
      slot: plan,
      python,
      env,
      modelsDir,
      tasksDir,
      maxRssBytes: maxChildBytes,
      hasLlm: llm.isThere,
      log
    })
    slotTasks.add(tasks)
    const slot = new Slot({
      id: plan.id,
      device: plan.device,
      queuesFor: tasks => queuesOf(plan, tasks),
      queues,
      lockOwner: `${identity.workerId}-${process.pid}-${slotsMade++}`,
      wait: createUnitWait(blocking, deps.lookAgainMs),
      locks,
      outbox,
      fetchFiles: async (unit, signal) => {
        await models.bring(unit, signal)
        return fetchUnitFiles(cache, unit, signal)
      },
      besideUnit: (open, signal) => prefetchNext(cache, open, signal, log),
      startChild: tasks.start,
      maxChildBytes,
      wasCancelled: cancelled.has,
      onReady: ready => row.onReady({ ...ready, tasks: registration.add(plan.id, ready.tasks, classesOf(plan)) }),
      onChange: () => presence.soon(),
      onOutcome: row.onOutcome,
      log
    })
    const end = async (): Promise<void> => {
      slotTasks.delete(tasks)
      registration.remove(plan.id)
      await slot.stop()
      await closeRedis(blocking)
    }
    return { slot, queueNames: () => queues.open.map(queue => queue.name), end }
  }
  if (deps.tasksDir) {
    const reload = (): void => slotTasks.forEach(tasks => void tasks.reload())
    releasers.add('tasks folder', watchFolder(deps.tasksDir, reload, log))
  }
  const slots: SlotSet = createSlotSet(createSlot, log)
  const maxChildBytes = (): number =>
    deps.maxChildBytes ?? Math.floor((RAM_BYTES * CHILDREN_SHARE) / slots.slots().length)
  const cpuLanes = (): number =>
    slots.slots().filter(({ state }) => state.device === 'cpu' && state.id !== LLM_SLOT).length
  const presence = reportPresence(plain, identity.workerId, () => row.read(slots, findings?.now() ?? []), log)
  // Released last to first: slots end, what they said is written, then the rest closes.
  releasers.add('presence', presence.stop)
  releasers.add('outbox', () => outbox.close(LAST_WORDS_MS))
  releasers.add('slots', slots.end)

  const onControl = (message: ControlMessage): void => {
    if (message.type === 'drain') slots.hold('drained', DRAINED_REASON)
    else if (message.type === 'resume') slots.free('drained')
    else if (message.type === 'revoked') deps.onRevoked?.()
    else {
      cancelled.add(message.unitIds)
      for (const slot of slots.slots()) slot.cancel(message.unitIds)
    }
    presence.soon()
  }
  if (identity.draining) onControl({ type: 'drain' })
  const control = connect('control')
  releasers.add('control', () => closeRedis(control))
  await listenToControl(control, identity.workerId, onControl, log)
  if (deps.quietReason) releasers.add('quiet hours', followQuietHours(deps.quietReason, slots))
  const everyMs = deps.lookAtGpusEveryMs ?? LOOK_AT_GPUS_EVERY_MS
  const onLlm = (): void => slotTasks.forEach(tasks => void tasks.lookAgain())
  releasers.add('GPUs', await followGpus({ planner, slots, everyMs, onGpus: row.setGpus, llm, onLlm, log }))
  findings =
    deps.doctor &&
    watchFindings({
      ...deps.doctor,
      redis: plain,
      workerId: identity.workerId,
      brokerUrl,
      modelsDir: deps.modelsDir,
      httpUrl,
      queueNames: slots.queueNames,
      onChange: presence.soon
    })
  if (findings) releasers.add('findings', findings.stop)
  presence.start()

  return {
    takeNoMore: () => {
      slots.hold('stopping', 'it is stopping')
      presence.soon()
    },
    idle: timeoutMs => untilIdle(slots, timeoutMs),
    stop: releasers.release
  }
}

/** A worker on the master's own machine need not go by the name that others know it by. */
async function readMasterUrl(redis: Redis, isLocal: boolean): Promise<string | null> {
  const [localUrl, httpUrl] = await redis.hmget(MASTER_KEY, 'localUrl', 'httpUrl')
  return (isLocal ? localUrl : null) ?? httpUrl ?? null
}

async function untilIdle(slots: SlotSet, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (slots.slots().some(slot => slot.isBusy) && performance.now() < endMs) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
