import { parseArgs } from 'node:util'
import { loadConfig } from '@sc/shared/config.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import { exitWithParent } from '@sc/shared/exit-with-parent.ts'
import { createLog } from '@sc/shared/log.ts'
import { printError } from '@sc/shared/printable.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { logStrayRejections } from '@sc/shared/stray-rejections.ts'
import { startMaster } from './start-master.ts'

const HELP = `Usage: pnpm start:master [options]

  --port N             HTTP port (SC_PORT, 5080)
  --host ADDRESS       address to listen on, instead of those of the mode (SC_HOST)
  --mode MODE          auto, local, lan or tailscale (SC_MODE)
  --data-dir FOLDER    where everything is kept (SC_DATA_DIR, ./data)
  --log-level LEVEL    trace, debug, info, warn, error (LOG_LEVEL, info)
  --exit-with-parent   stop when standard input closes
`

/** For all but the embedded servers, which then have STOP_GRACE_MS of theirs: a master ends within 20 s, whatever hangs. */
const PATIENCE_MS = 7_000
/** What is left then ends by its watchers (`processes.ts`). */
const LAST_RESORT_MS = 18_000

/** The process: arguments, signals, exit codes. What a master is made of is in start-master.ts. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      host: { type: 'string' },
      mode: { type: 'string' },
      'data-dir': { type: 'string' },
      'log-level': { type: 'string' },
      'exit-with-parent': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const config = loadConfig({
    SC_PORT: values.port,
    SC_HOST: values.host,
    SC_MODE: values.mode,
    SC_DATA_DIR: values['data-dir'],
    LOG_LEVEL: values['log-level']
  })
  const log = createLog('master', config.logLevel)
  logStrayRejections(log)
  const releasers = createReleasers(step => log.debug({ step }, 'stopping'), {
    patienceMs: PATIENCE_MS,
    onLate: step => log.warn({ step }, 'did not stop in time and is left behind')
  })
  const stopped = Promise.withResolvers<number>()
  const starting = new AbortController()
  const stop = (signal: NodeJS.Signals): void => {
    process.once(signal, () => process.exit(130))
    log.info({ signal }, 'stopping; a second signal forces')
    starting.abort()
    setTimeout(() => process.exit(signal === 'SIGINT' ? 130 : 1), LAST_RESORT_MS).unref()
    releasers.release().then(
      () => stopped.resolve(signal === 'SIGINT' ? 130 : 0),
      error => stopped.reject(error)
    )
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  if (values['exit-with-parent']) exitWithParent()
  const started = startMaster(config, log, releasers, starting.signal).then(({ httpUrl, loginUrl }) => {
    if (starting.signal.aborted) return
    log.info({ httpUrl }, 'master is up')
    process.stdout.write(`master is up at ${httpUrl}\nlog in (once): ${loginUrl}\n`)
  })
  try {
    await Promise.race([started, stopped.promise])
  } catch (error) {
    if (starting.signal.aborted) return await stopped.promise
    starting.abort()
    await releasers.release()
    throw error
  }
  return await stopped.promise
}

/** 2: the command or the configuration is wrong, which no second try mends. */
function exitCodeOf(error: unknown): number {
  if (toScError(error).code === 'SC_CONFIG') return 2
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS') ? 2 : 1
}

main().then(
  code => process.exit(code),
  (error: unknown) => {
    printError(`${error instanceof Error ? error.message : String(error)}\n`)
    // What has a code says all that there is to say.
    if (exitCodeOf(error) === 1 && error instanceof Error && !(error instanceof ScError)) printError(`${error.stack}\n`)
    process.exit(exitCodeOf(error))
  }
)
