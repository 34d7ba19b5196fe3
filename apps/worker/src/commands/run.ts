import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { exitWithParent } from '@sc/shared/exit-with-parent.ts'
import { createLog } from '@sc/shared/log.ts'
import { printError } from '@sc/shared/printable.ts'
import { isRefusal, type Redis } from '@sc/shared/redis.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { logStrayRejections } from '@sc/shared/stray-rejections.ts'
import { REFUSED_MS, revokedError } from '../enrol/join.ts'
import { pythonCommand } from '../python/command.ts'
import { quietReason } from '../slots/quiet-hours.ts'
import { startWorker } from '../worker.ts'
import { comeIn } from './come-in.ts'
import { type Flags, readSettings } from './flags.ts'
import { listenForStop } from './stop-signals.ts'

/** A revoked worker ends after so long at the latest. */
const LAST_WORDS_MS = 3_000
/** Units that run when the worker is stopped have so long to finish; then they are given back. */
const DRAIN_MS = 30_000

/** `sc-worker run`: from configuration to a worker that runs until it is stopped. Answers the exit code. */
export async function run(flags: Flags): Promise<number> {
  const settings = readSettings(flags)
  const { config, name, quietHours } = settings
  const log = createLog(`worker ${name}`, config.logLevel)
  logStrayRejections(log)
  const dir = dataDir(config.dataDir)
  const workerDir = dir.worker(name)
  const stop = listenForStop()
  if (flags.exitWithParent) exitWithParent(stop.now)
  const releasers = createReleasers()
  releasers.add('signals', stop.unlisten)
  try {
    const { identity, brokerUrl, redis, planner } = await comeIn({ settings, log, releasers, signal: stop.first })
    const revoked = watchForRefusal(redis)
    releasers.add('refusals', revoked.stop)
    const outdated = new AbortController()

    const worker = await startWorker({
      name,
      identity,
      brokerUrl,
      redis,
      workerDir,
      planner,
      quietReason: () => quietReason(quietHours, new Date()),
      python: pythonCommand(),
      modelsDir: config.modelsDir,
      tasksDir: config.tasksDir ?? null,
      masterUrl: config.masterUrl,
      onRevoked: revoked.now,
      onOtherProtocol: error => outdated.abort(error),
      doctor: { dataDir: config.dataDir, isOfThisMachine: brokerUrl === readMasterFile(dir)?.redisUrl },
      log
    })
    releasers.add('worker', worker.stop)
    log.info({ workerId: identity.workerId }, `Worker ${name} is enrolled and takes units`)

    await aborted(AbortSignal.any([stop.first, revoked.signal, outdated.signal]))
    if (revoked.signal.aborted) throw revokedError({ dir, name })
    log.info('Stopping: the units that run may finish; stop again to give them back now')
    worker.takeNoMore()
    if (outdated.signal.aborted) {
      // Nobody waits for its end: what runs has the time that it needs.
      await Promise.race([worker.idle(Number.POSITIVE_INFINITY), aborted(stop.first)])
      if (!stop.first.aborted) throw outdated.signal.reason
    }
    await Promise.race([worker.idle(DRAIN_MS), aborted(stop.second)])
  } catch (error) {
    // Redis answers nothing more that would be waited for.
    if (error instanceof ScError && error.code === 'SC_REVOKED') setTimeout(() => endRevoked(error), LAST_WORDS_MS)
    // Stopped while it was still on its way in: no error.
    if (!stop.first.aborted) throw error
  } finally {
    await releasers.release()
  }
  return stop.exitCode()
}

function endRevoked(error: ScError): never {
  printError(`${error.message}\n`)
  process.exit(1)
}

/** Revoked, and no word of it came: the login is refused for REFUSED_MS. */
function watchForRefusal(redis: Redis): { signal: AbortSignal; now(): void; stop(): void } {
  const revoked = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const onReady = (): void => {
    clearTimeout(timer)
    timer = undefined
  }
  redis.on('error', (error: Error) => {
    if (isRefusal(error)) timer ??= setTimeout(() => revoked.abort(), REFUSED_MS)
  })
  redis.on('ready', onReady)
  return { signal: revoked.signal, now: () => revoked.abort(), stop: onReady }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
