/** `npm run quickstart`, once everything is installed: a cluster on this machine, and a recording through all of it. */
import { join } from 'node:path'
import { loadConfig, REPO_DIR } from '@sc/shared/config.ts'
import { type DataDir, dataDir } from '@sc/shared/data-dir.ts'
import { exitWithParent } from '@sc/shared/exit-with-parent.ts'
import { print, printError } from '@sc/shared/printable.ts'
import { Command, CommanderError } from 'commander'
import { transcribe } from './commands/transcribe.ts'
import { createInterrupt } from './interrupt.ts'
import type { Child } from './quickstart/child.ts'
import { type Cluster, startCluster, stopCluster } from './quickstart/cluster.ts'
import { formatNextSteps } from './quickstart/next-steps.ts'
import { waitForEnd, whileRunning } from './quickstart/wait-for-end.ts'
import { EXIT, failureOf } from './show/failure.ts'
import { findRecordings } from './submit/recordings.ts'

interface Flags {
  once?: true
  dataDir?: string
  exitWithParent?: true
}

const force = new AbortController()
const interrupt = createInterrupt(() => force.abort())
const children: Child[] = []
let dir: DataDir | undefined

async function main(): Promise<number> {
  const program = new Command('npm run quickstart --')
    .argument('[file]', 'recording to transcribe instead of the sample')
    .option('--once', 'stop everything after the recording')
    .option('--data-dir <dir>', 'default: SC_DATA_DIR, else ./data')
    .option('--exit-with-parent', 'stop when stdin closes')
    .exitOverride()
    .parse()
  const flags = program.opts<Flags>()
  if (flags.exitWithParent) exitWithParent()
  const config = loadConfig({ SC_DATA_DIR: flags.dataDir })
  dir = dataDir(config.dataDir)
  const recordings = findRecordings([program.args[0] ?? join(REPO_DIR, 'samples/jfk.wav')], 'text', undefined)

  const cluster = await startCluster(config, children, interrupt)
  // The work is done, whether an earlier run has done it or not: this is to show that it can be.
  const command = { recordings, fields: { reuse: 'false' }, format: 'text' as const, json: false }
  const exitCode = await whileRunning(children, interrupt, signal => transcribe(cluster.client, { ...command, signal }))
  if (flags.once || exitCode !== EXIT.done) return exitCode
  return await stay(cluster, dir)
}

/** Until Ctrl-C, or until a child ends by itself. */
async function stay(cluster: Cluster, folder: DataDir): Promise<number> {
  print(formatNextSteps(cluster, folder))
  if (cluster.children.length === 0) return EXIT.done
  print('Ctrl-C stops it.\n')
  await waitForEnd(cluster.children, interrupt)
  return EXIT.interrupted
}

/** The one place where a throw becomes a message and an exit code. */
async function run(): Promise<number> {
  try {
    return await main()
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.done : EXIT.usage
    const { message, exitCode } = failureOf(thrown)
    if (exitCode !== EXIT.interrupted) printError(`${message}\n`)
    return exitCode
  }
}

const exitCode = await run()
if (dir && children.length > 0) {
  printError(interrupt.aborted ? '\nStopping; Ctrl-C again hurries.\n' : 'Stopping.\n')
  await stopCluster(dir, children, force.signal)
}
process.exit(exitCode)
