import { hostname } from 'node:os'
import { join } from 'node:path'
import { LLM_SLOT } from '@sc/shared/capability.ts'
import type { Command } from '@sc/shared/children/process-group.ts'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import type { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { boundFindings, DRAINED_REASON } from '@sc/shared/presence.ts'
import { connectRedis, isLoopback, type Redis } from '@sc/shared/redis.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { watchFolder } from '@sc/shared/watch-folder.ts'
import type { Enrolment } from './enrol/enrol.ts'
import { openBlobCache } from './inputs/blob-cache.ts'
import { fetchBlob } from './inputs/fetch-blob.ts'
import { createPrefetch } from './inputs/prefetch.ts'
import { fetchUnitFiles } from './inputs/unit-files.ts'
import { createCancelled } from './messaging/cancelled.ts'
import { followMaster } from './messaging/follow-master.ts'
import { writeKnownMaster } from './messaging/known-master.ts'
import { type MasterLink, type Order, openLink } from './messaging/link.ts'
import { openOutbox } from './messaging/outbox.ts'
import { createRegistration } from './messaging/registration.ts'
import { openModels } from './models/models.ts'
import { watchLlmServer } from './probe/llm-server.ts'
import { RAM_BYTES } from './probe/machine.ts'
import { classesOf, queuesOf, type SlotPlan, type SlotPlanner } from './probe/slot-plan.ts'
import { WORKER_VERSION } from './probe/version.ts'
import { pythonEnv } from './python/command.ts'
import { type FindingsDeps, type OwnFindings, watchFindings } from './report/findings.ts'
import { leftOutFindings } from './report/left-out.ts'
import { reportPresence } from './report/presence.ts'
import { createRow } from './report/row.ts'
import { followGpus } from './slots/follow-gpus.ts'
import { followQuietHours } from './slots/quiet-hours.ts'
import { Slot } from './slots/slot.ts'
import { createSlotSet, type OwnedSlot, type SlotSet } from './slots/slot-set.ts'
import { SlotTasks } from './tasks/slot-tasks.ts'

const LAST_WORDS_MS = 2_000
/** nvidia-smi takes a good part of a second where there are several cards. */
const LOOK_AT_GPUS_EVERY_MS = 5_000
/** Of the machine's memory, for the children of all slots together. */
const CHILDREN_SHARE = 0.6

export interface WorkerDeps {
  name: string
  identity: Enrolment
  brokerUrl: string
  /** For everything but the inbox, whose reads block. */
  redis: Redis
  workerDir: string
  planner: SlotPlanner
  python: Command
  modelsDir: string
  tasksDir: string | null
  /** Instead of the address that the master names. */
  masterUrl: string | undefined
  /** Why no units are to be taken at this time of day; null: they are. Default: never. */
  quietReason?: () => string | null
  /** The master has revoked this worker. */
  onRevoked?: () => void
  /** The master speaks another protocol. */
  onOtherProtocol?: (error: ScError) => void
  /** Where the worker's own doctor looks while it runs. Default: nowhere. */
  doctor?: Pick<FindingsDeps, 'dataDir' | 'isOfThisMachine' | 'everyMs'>
  lookAtGpusEveryMs?: number
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

  let findings: OwnFindings | undefined
  const master = followMaster({ ...deps, isLocal: isLoopback(brokerUrl) })
  const source = { httpUrl: master.httpUrl, key: identity.key }
  const cache = await openBlobCache(join(deps.workerDir, 'cache'), (key, path, signal) =>
    fetchBlob(source, key, path, signal)
  )
  releasers.add('blob cache', cache.close)
  const outbox = openOutbox(redis, identity.workerId, log)
  const registration = createRegistration(outbox)
  const row = await createRow({ id: identity.workerId, name, hostname: hostname() }, deps.modelsDir)
  releasers.add('load figures', row.stop)
  const models = openModels({ modelsDir: deps.modelsDir, source, onChange: row.look, log })
  releasers.add('models', models.close)
  const cancelled = createCancelled()
  const prefetch = createPrefetch(cache, log)
  releasers.add('prefetch', prefetch.stop)
  const llm = watchLlmServer()
  const slotTasks = new Set<SlotTasks>()

  function createSlot(plan: SlotPlan): OwnedSlot {
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
      link,
      outbox,
      fetchFiles: async (unit, signal) => {
        await models.bring(unit, signal)
        return fetchUnitFiles(cache, unit, signal)
      },
      startChild: tasks.start,
      maxChildBytes,
      wasCancelled: cancelled.has,
      onReady: ready => {
        const lacking = tasks.notOffered.map(({ task, lack }) => ({ ...task, lack }))
        const all = registration.add(plan.id, { tasks: ready.tasks, lacking, classes: classesOf(plan) })
        row.onReady({ ...ready, tasks: all })
      },
      onChange: () => presence.soon(),
      onOutcome: row.onOutcome,
      log
    })
    const end = async (): Promise<void> => {
      slotTasks.delete(tasks)
      registration.remove(plan.id)
      await slot.stop()
    }
    return { slot, queueNames: () => slot.queues, end }
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
  const presence = reportPresence(redis, identity.workerId, () => row.read(slots, findingsNow()), log)

  const findingsNow = (): Finding[] => boundFindings([...leftOutFindings(slotTasks), ...(findings?.now() ?? [])])
  const onOrder = (order: Order): void => {
    if (order.type === 'drain') slots.hold('drained', DRAINED_REASON)
    else if (order.type === 'resume') slots.free('drained')
    else if (order.type === 'revoked') deps.onRevoked?.()
    else if (order.type === 'prefetch') prefetch.fetch(order.units)
    else {
      cancelled.add(order.unitIds)
      for (const slot of slots.slots()) slot.cancel(order.unitIds)
    }
    presence.soon()
  }
  const blocking = connectRedis(brokerUrl, { name: `worker-${name}-inbox`, blocking: true, restricted: true, log })
  const link: MasterLink = openLink({
    redis,
    blocking,
    outbox,
    workerId: identity.workerId,
    hostname: hostname(),
    version: WORKER_VERSION,
    onWelcome: welcome => {
      if (master.onWelcome(welcome)) writeKnownMaster(deps.workerDir, welcome)
      onOrder({ type: welcome.draining ? 'drain' : 'resume' })
    },
    onOrder,
    log
  })
  // Released last to first: slots end, what they reported is written, then the rest closes.
  releasers.add('presence', presence.stop)
  releasers.add('outbox', () => outbox.close(LAST_WORDS_MS))
  releasers.add('link', link.stop)
  releasers.add('slots', slots.end)
  if (deps.quietReason) releasers.add('quiet hours', followQuietHours(deps.quietReason, slots))
  const everyMs = deps.lookAtGpusEveryMs ?? LOOK_AT_GPUS_EVERY_MS
  const onLlm = (): void => slotTasks.forEach(tasks => void tasks.lookAgain())
  releasers.add('GPUs', await followGpus({ planner, slots, everyMs, onGpus: row.setGpus, llm, onLlm, log }))
  findings =
    deps.doctor &&
    watchFindings({
      ...deps.doctor,
      redis,
      workerId: identity.workerId,
      brokerUrl,
      modelsDir: deps.modelsDir,
      httpUrl: master.httpUrl,
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

async function untilIdle(slots: SlotSet, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (slots.slots().some(slot => slot.isBusy) && performance.now() < endMs) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
