import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '@sc/shared/log.ts'
import { closeQueue, openQueue } from '@sc/shared/queues.ts'
import { closeRedis, connectRedis, type Redis } from '@sc/shared/redis.ts'
import { MASTER_KEY } from '@sc/shared/redis-keys.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import type { ControlMessage } from '@sc/shared/unit.ts'
import type { Enrolment } from './enrol/enrol.ts'
import { openBlobCache } from './inputs/blob-cache.ts'
import { fetchBlob } from './inputs/fetch-blob.ts'
import { prefetchNext } from './inputs/prefetch.ts'
import { fetchUnitFiles } from './inputs/unit-files.ts'
import type { SlotPlan } from './probe/slot-plan.ts'
import { pythonEnv } from './python/command.ts'
import { createCancelled } from './report/cancelled.ts'
import { listenToControl } from './report/control.ts'
import { openOutbox } from './report/outbox.ts'
import { reportPresence } from './report/presence.ts'
import { createRegistration } from './report/registration.ts'
import { createRow } from './report/row.ts'
import { startLockKeeper } from './slots/lock-keeper.ts'
import { Slot } from './slots/slot.ts'
import { createUnitWait } from './slots/unit-wait.ts'
import type { Command } from './tasks/process-group.ts'
import { SlotTasks } from './tasks/slot-tasks.ts'
import { watchFolder } from './tasks/watch-folder.ts'

const LAST_WORDS_MS = 2_000

export interface WorkerDeps {
  name: string
  identity: Enrolment
  brokerUrl: string
  /** For everything that does not block. */
  redis: Redis
  workerDir: string
  slots: SlotPlan[]
  python: Command
  modelsDir: string
  tasksDir: string | null
  /** Instead of the address that the master publishes. */
  masterUrl: string | undefined
  log: Logger
}

export interface RunningWorker {
  drain(): void
  resume(): void
  /** Resolves when no unit runs, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>
  /** Gives back what runs, says so, and ends every child and connection but `redis`. */
  stop(): Promise<void>
}

/** Builds the worker: slots, and between them and the master the outbox, presence, control and blobs. */
export async function startWorker(deps: WorkerDeps): Promise<RunningWorker> {
  const { identity, redis, log, brokerUrl, name } = deps
  const releasers = createReleasers(step => log.debug({ step }, 'Stopping'))
  const connect = (use: string, blocking = false): Redis => {
    const connection = connectRedis(brokerUrl, { name: `worker-${name}-${use}`, blocking, log })
    releasers.add(`Redis for ${use}`, () => closeRedis(connection))
    return connection
  }

  let knownUrl = deps.masterUrl ?? ''
  const httpUrl = async (): Promise<string> => {
    // Redis may have been emptied, and the master not yet have published itself again.
    if (!deps.masterUrl) knownUrl = (await redis.hget(MASTER_KEY, 'httpUrl')) ?? knownUrl
    return knownUrl
  }
  const cache = await openBlobCache(join(deps.workerDir, 'cache'), (key, path, signal) =>
    fetchBlob({ httpUrl, key: identity.key }, key, path, signal)
  )
  releasers.add('blob cache', cache.close)
  const queues = new Map(
    [...new Set(deps.slots.flatMap(slot => slot.queues))].map(queue => [
      queue,
      openQueue(redis, queue, error => log.debug({ err: error, queue }, 'Queue error'))
    ])
  )
  for (const queue of queues.values()) releasers.add(`queue ${queue.name}`, () => closeQueue(queue))
  const outbox = openOutbox(redis, identity.workerId, log)
  const registration = createRegistration(outbox)
  const locks = startLockKeeper(log)
  releasers.add('locks', locks.stop)

  const row = await createRow({ id: identity.workerId, name, hostname: hostname(), slots: deps.slots })
  releasers.add('load figures', row.stop)
  const cancelled = createCancelled()
  const cpuSlots = deps.slots.filter(slot => slot.device === 'cpu').length
  const slotTasks: SlotTasks[] = []
  const slots = deps.slots.map(plan => {
    const own = plan.queues.flatMap(queue => queues.get(queue) ?? [])
    const { python, modelsDir, tasksDir } = deps
    const tasks = new SlotTasks({ slot: plan, python, env: pythonEnv(plan.device, cpuSlots), modelsDir, tasksDir, log })
    slotTasks.push(tasks)
    return new Slot({
      id: plan.id,
      device: plan.device,
      queues: own,
      lockOwner: `${identity.workerId}-${process.pid}`,
      wait: createUnitWait(connect(plan.id, true), own),
      locks,
      outbox,
      fetchFiles: (unit, signal) => fetchUnitFiles(cache, unit, signal),
      besideUnit: signal => prefetchNext(cache, own, signal, log),
      startChild: tasks.start,
      wasCancelled: cancelled.has,
      onReady: ready => row.onReady({ ...ready, tasks: registration.add(plan.id, ready.tasks) }),
      onChange: () => presence.soon(),
      onOutcome: row.onOutcome,
      log
    })
  })
  if (deps.tasksDir) {
    const reload = (): void => slotTasks.forEach(tasks => void tasks.reload())
    releasers.add('tasks folder', watchFolder(deps.tasksDir, reload, log))
  }
  const presence = reportPresence(redis, identity.workerId, () => row.read(slots), log)
  // Released last to first: slots end, what they said is written, then the rest closes.
  releasers.add('presence', presence.stop)
  releasers.add('outbox', () => outbox.close(LAST_WORDS_MS))
  releasers.add('slots', () => Promise.all(slots.map(slot => slot.stop())))

  const drain = (): void => {
    for (const slot of slots) slot.drain()
    row.setStatus('draining')
    presence.soon()
  }
  const resume = (): void => {
    for (const slot of slots) slot.resume()
    row.setStatus('online')
    presence.soon()
  }
  const cancel = (unitIds: string[]): void => {
    cancelled.add(unitIds)
    for (const slot of slots) slot.cancel(unitIds)
  }
  const onControl = (message: ControlMessage): void => {
    if (message.type === 'drain') drain()
    else if (message.type === 'resume') resume()
    else cancel(message.unitIds)
  }
  await listenToControl(connect('control'), identity.workerId, onControl, log)
  for (const slot of slots) slot.start()

  return {
    drain,
    resume,
    idle: timeoutMs => untilIdle(slots, timeoutMs),
    stop: releasers.release
  }
}

async function untilIdle(slots: Slot[], timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (slots.some(slot => slot.isBusy) && performance.now() < endMs) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
