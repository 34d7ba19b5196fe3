import { hostname } from 'node:os'
import { dataDir } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { exitWithParent } from '@sc/shared/exit-with-parent.ts'
import { createLog, type Logger } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { enrol } from '../enrol/enrol.ts'
import { findBroker } from '../enrol/find-broker.ts'
import { readIdentity, writeIdentity } from '../enrol/identity.ts'
import { followMaster } from '../enrol/master-version.ts'
import { lockName } from '../enrol/name-lock.ts'
import { probeGpus } from '../probe/gpus.ts'
import { createSlotPlanner } from '../probe/slot-plan.ts'
import { pythonCommand } from '../python/command.ts'
import { quietReason } from '../slots/quiet-hours.ts'
import { startWorker } from '../worker.ts'
import { type Flags, readSettings } from './flags.ts'
import { listenForStop } from './stop-signals.ts'

/** Units that run when the worker is stopped have so long to finish; then they are given back. */
const DRAIN_MS = 30_000

/** `sc-worker run`: from configuration to a worker that runs until it is stopped. Answers the exit code. */
export async function run(flags: Flags): Promise<number> {
  const { config, name, wishes, quietHours } = readSettings(flags)
  const log = createLog(`worker ${name}`, config.logLevel)
  const dir = dataDir(config.dataDir)
  const workerDir = dir.worker(name)
  const stop = listenForStop()
  if (flags.exitWithParent) exitWithParent(stop.now)
  const releasers = createReleasers()
  releasers.add('signals', stop.unlisten)
  try {
    releasers.add('name lock', lockName(workerDir, name))
    const known = readIdentity(workerDir)
    const { brokerUrl, redis } = await connectToBroker(() => findBroker(config, dir, known), name, stop.first, log)
    releasers.add('Redis', () => closeRedis(redis))

    const blocking = connectRedis(brokerUrl, { name: `worker-${name}-enrol`, blocking: true, log })
    releasers.add('Redis for enrolling', () => closeRedis(blocking))
    const who = { name, hostname: hostname(), workerId: known?.workerId }
    const identity = await enrol({ redis, blocking, log, signal: stop.first }, who)
    const { workerId, key } = identity
    writeIdentity(workerDir, { workerId, key, ...(config.broker ? { broker: config.broker } : {}) })
    await closeRedis(blocking)

    const worker = await startWorker({
      name,
      identity,
      brokerUrl,
      redis,
      workerDir,
      planner: createSlotPlanner(await probeGpus(), wishes),
      quietReason: () => quietReason(quietHours, new Date()),
      python: pythonCommand(),
      modelsDir: config.modelsDir,
      tasksDir: config.tasksDir ?? null,
      masterUrl: config.masterUrl,
      log
    })
    releasers.add('worker', worker.stop)
    log.info({ workerId }, `Worker ${name} is enrolled and takes units`)

    const master = followMaster(redis, log)
    releasers.add('version of the master', master.stop)
    await aborted(AbortSignal.any([stop.first, master.signal]))
    log.info('Stopping: the units that run may finish; stop again to give them back now')
    worker.takeNoMore()
    if (master.signal.aborted) {
      // Nobody waits for its end: what runs has the time that it needs.
      await Promise.race([worker.idle(Number.POSITIVE_INFINITY), aborted(stop.first)])
      if (!stop.first.aborted) throw master.signal.reason
    }
    await Promise.race([worker.idle(DRAIN_MS), aborted(stop.second)])
  } catch (error) {
    // Stopped while it was still on its way in: no error.
    if (!stop.first.aborted) throw error
  } finally {
    await releasers.release()
  }
  return stop.exitCode()
}

/** Looks the address up again for each try: a master of this machine that starts anew may have another. */
async function connectToBroker(
  find: () => string,
  name: string,
  signal: AbortSignal,
  log: Logger
): Promise<{ brokerUrl: string; redis: Redis }> {
  for (;;) {
    const brokerUrl = find()
    const redis = connectRedis(brokerUrl, { name: `worker-${name}`, log })
    try {
      await waitForRedis(redis, { signal })
      return { brokerUrl, redis }
    } catch (error) {
      await closeRedis(redis)
      if (!(error instanceof ScError) || error.code !== 'SC_UNAVAILABLE') throw error
      log.warn(error.message)
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
