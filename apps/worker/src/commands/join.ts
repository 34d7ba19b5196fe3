import { createLog } from '@sc/shared/log.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { comeIn } from './come-in.ts'
import { type Flags, readSettings } from './flags.ts'
import { listenForStop } from './stop-signals.ts'

/** `sc-worker join`: trades a join code for an identity, so that `run` needs no flag. Answers the exit code. */
export async function join(flags: Flags): Promise<number> {
  const settings = readSettings(flags)
  const stop = listenForStop()
  const releasers = createReleasers()
  releasers.add('signals', stop.unlisten)
  try {
    const log = createLog(`worker ${settings.name}`, settings.config.logLevel)
    const { identity } = await comeIn({ settings, log, releasers, signal: stop.first })
    log.info({ workerId: identity.workerId }, `Worker ${settings.name} is enrolled; sc-worker run starts it`)
  } catch (error) {
    if (!stop.first.aborted) throw error
    // Stopped on its way in, which is not joined.
    return stop.exitCode() || 1
  } finally {
    await releasers.release()
  }
  return stop.exitCode()
}
