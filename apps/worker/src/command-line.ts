import { ScError, toScError } from '@sc/shared/errors.ts'
import { withoutSecrets } from '@sc/shared/log.ts'
import { printError } from '@sc/shared/printable.ts'
import { Command, CommanderError } from 'commander'
import type { Flags } from './commands/flags.ts'
import { WORKER_VERSION } from './probe/version.ts'

/**
 * `sc-worker`. Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 130 interrupted. A command is loaded when it is given:
 * the worker that runs for weeks keeps nothing of the others in memory.
 */
let exitCode = 0
const program = new Command('sc-worker').description('Runs units on this machine').version(WORKER_VERSION)
program.exitOverride()

withRunFlags(program.command('run').description('take units from the cluster until stopped')).action(
  async (flags: Flags) => {
    exitCode = await (await import('./commands/run.ts')).run(flags)
  }
)
withRunFlags(program.command('join').description('be let in by a join code, so that run needs no --broker')).action(
  async (flags: Flags) => {
    exitCode = await (await import('./commands/join.ts')).join(flags)
  }
)
withFlags(program.command('probe').description('print what this machine can do, as JSON')).action(
  async (flags: Flags) => {
    exitCode = await (await import('./commands/probe.ts')).probe(flags)
  }
)
withFlags(program.command('doctor').description('check what the worker needs, and say what to do about it'))
  .option('--json', 'print the findings as JSON')
  .action(async (flags: Flags & { json?: boolean }) => {
    exitCode = await (await import('./commands/doctor.ts')).doctor(flags)
  })
const task = program.command('task').description('tasks of this machine')
withFlags(task.command('run').description('run a task with no cluster and print its output'))
  .argument('<name>', 'one that `task list` shows')
  .argument('<json>', `its input, such as '{"text":"one two"}'`)
  .showHelpAfterError()
  .action(async (name: string, json: string, flags: Flags) => {
    exitCode = await (await import('./commands/task.ts')).taskRun(name, json, flags)
  })
withFlags(task.command('list').description('what there is, what it needs, and files that could not be loaded')).action(
  async (flags: Flags) => {
    exitCode = await (await import('./commands/task.ts')).taskList(flags)
  }
)
withFlags(task.command('test [files...]').description('run the unit tests of the tasks folder')).action(
  async (files: string[], flags: Flags) => {
    exitCode = await (await import('./commands/task-test.ts')).taskTest(files, flags)
  }
)

try {
  await program.parseAsync()
} catch (error) {
  exitCode = report(error)
}
process.exit(exitCode)

/** `join` is given what `run` is given next: a slip is to be told before the code is used. */
function withRunFlags(command: Command): Command {
  return withFlags(command)
    .option('--quiet-hours <list>', "takes no units then, by this machine's clock: 22:00-07:30, several with commas")
    .option('--exit-with-parent', 'stop when stdin closes')
}

function withFlags(command: Command): Command {
  return command
    .option('--broker <url>', 'redis://USER:SECRET@HOST:PORT; default: the master of this machine')
    .option('--name <name>', 'tells several workers of one machine apart; default: the host name')
    .option('--concurrency <n>', 'number of CPU lanes, beside the slots of GPUs; default: 1')
    .option('--queues <list>', 'queues to serve instead of those that follow from the hardware')
    .option('--gpus <list>', 'GPUs to use, by index or UUID; default: all')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent')
    .option('--data-dir <folder>', 'default: SC_DATA_DIR, or ./data')
}

function report(error: unknown): number {
  // Commander has printed it, help and version included.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const known = toScError(error)
  const text = error instanceof ScError ? known.message : ((error as Error)?.stack ?? known.message)
  printError(`${withoutSecrets(text)}\n`)
  return known.code === 'SC_CONFIG' ? 2 : 1
}
