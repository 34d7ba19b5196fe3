/** The command line of `sc`: what may be written, and which command it starts. */
import { type Config, loadConfig } from '@sc/shared/config.ts'
import { ScError } from '@sc/shared/errors.ts'
import { print, printError } from '@sc/shared/printable.ts'
import { Command, InvalidArgumentError, Option } from 'commander'
import { doctor } from './commands/doctor.ts'
import { listJobs } from './commands/jobs.ts'
import { showJoin } from './commands/join.ts'
import { createKey, listKeys, revokeKey } from './commands/keys.ts'
import { transcribe } from './commands/transcribe.ts'
import { createSecret, deleteSecret, listDeliveries, listSecrets, resendDelivery } from './commands/webhooks.ts'
import { listWorkers } from './commands/workers.ts'
import { findMaster } from './connect/find-master.ts'
import { createMasterClient, type MasterClient } from './connect/master-client.ts'
import { EXIT } from './show/failure.ts'
import { FORMATS, type Format, findRecordings } from './submit/recordings.ts'
import type { TranscribeFields } from './submit/upload.ts'

const KEY_SCOPES = ['read', 'submit', 'metrics', 'admin']

interface GlobalFlags {
  master?: string
  keyFile?: string
  dataDir?: string
  json?: true
}

interface TranscribeFlags extends GlobalFlags {
  format: Format
  output?: string
  language?: string
  model?: string
  prompt?: string
  chunkSeconds?: string
  channel?: string
  track?: string
  task?: string
  reuse: boolean
}

/** `onExitCode` gets what the command ends with, when it did not throw. */
export function buildProgram(signal: AbortSignal, onExitCode: (exitCode: number) => void): Command {
  const program = new Command('sc')
    .description('The command line of Semantics Cluster: transcribe recordings, look at jobs and workers.')
    .option('--master <url>', 'address of the master (default: SC_MASTER_URL, else the one of the data folder)')
    .option('--key-file <file>', 'file with the key (default: SC_ADMIN_KEY, else admin.key in the data folder)')
    .option('--data-dir <dir>', 'data folder of a master on this machine (default: SC_DATA_DIR, else ./data)')
    .option('--json', 'print JSON for programs')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(sc --help shows what there is)')
    .configureOutput({ writeOut: print, writeErr: printError })
    .exitOverride()

  program
    .command('transcribe')
    .description('transcribe recordings; the text goes to stdout, or into files with --output')
    .argument('<file...>', 'recordings: anything that ffmpeg reads')
    .addOption(new Option('--format <format>', 'of the result').choices(FORMATS).default('text'))
    .option('--output <dir>', 'write NAME.txt (.json, .srt, …) into this folder')
    .option('--language <code>', 'language spoken, such as en (default: detected)')
    .option('--model <name>', 'speech model, such as base or large-v3-turbo (default: the master chooses)')
    .option('--prompt <text>', 'words and names to expect')
    .option('--chunk-seconds <seconds>', 'length of the pieces that are spread over the workers', wholeNumber)
    .option('--channel <channel>', 'left, right, or the number of a channel from 0 (default: all of them mixed)')
    .option(
      '--track <number>',
      'of several audio tracks: its number from 0 (default: the one the file marks)',
      wholeNumber
    )
    .addOption(new Option('--task <task>', 'translate gives English text').choices(['transcribe', 'translate']))
    .option('--no-reuse', 'do the work anew, even when the same audio was done before')
    .action(async (paths: string[], _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<TranscribeFlags>()
      const recordings = findRecordings(paths, flags.format, flags.output)
      const { format, json = false } = flags
      onExitCode(await transcribe(connect(flags), { recordings, fields: fieldsOf(flags), format, json, signal }))
    })

  program
    .command('jobs')
    .description('list jobs, newest first')
    .option('--status <status>', 'only these: PENDING, RUNNING, COMPLETED, PARTIAL, FAILED or CANCELLED')
    .option('--task <task>', 'only those of this task')
    .option('--limit <number>', 'at most so many', wholeNumber, '20')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags & { status?: string; task?: string; limit: string }>()
      await listJobs(connect(flags), { ...flags, limit: Number(flags.limit), json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })

  program
    .command('workers')
    .description('list workers')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await listWorkers(connect(flags), { json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })

  program
    .command('join')
    .description('print the line that makes another machine a worker')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await showJoin(connect(flags), { json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })

  const keys = program
    .command('keys')
    .description('list the keys of this cluster; needs a key with the scope admin, as create and revoke do')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await listKeys(connect(flags), { json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })
  keys
    .command('create')
    .description('make a key, which is printed this once')
    .argument('<name>', 'who uses it, and where')
    .addOption(
      new Option('--scope <scope>', `what it may do, once or again: ${KEY_SCOPES.join(', ')}`)
        .argParser(addScope)
        .makeOptionMandatory()
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags & { scope: string[] }>()
      await createKey(connect(flags), { name, scopes: flags.scope, json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })
  keys
    .command('revoke')
    .description('end a key at once; its jobs and schedules stay')
    .argument('<id>', 'as sc keys shows it')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await revokeKey(connect(flags), { id, json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })

  const webhooks = program
    .command('webhooks')
    .description('list the secrets that sign the webhooks of your key')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await listSecrets(connect(flags), { json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })
  webhooks
    .command('create')
    .description('make a secret, which is printed this once; the one before signs beside it for a day')
    .option('--overlap-seconds <seconds>', 'how long the one before signs beside it; 0: not at all', wholeNumber)
    .action(async (_flags: unknown, command: Command) => {
      const {
        overlapSeconds,
        json = false,
        ...flags
      } = command.optsWithGlobals<GlobalFlags & { overlapSeconds?: string }>()
      const overlap = overlapSeconds === undefined ? {} : { overlapSeconds: Number(overlapSeconds) }
      await createSecret(connect(flags), { ...overlap, json, signal })
      onExitCode(EXIT.done)
    })
  webhooks
    .command('delete')
    .description('end a secret at once')
    .argument('<id>', 'as sc webhooks shows it')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await deleteSecret(connect(flags), { id, json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })
  webhooks
    .command('deliveries')
    .description('list what became of webhooks, newest first')
    .option('--status <status>', 'only these: PENDING, DELIVERED or FAILED')
    .option('--job <id>', 'only those of this job')
    .option('--limit <number>', 'at most so many', wholeNumber, '20')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags & { status?: string; job?: string; limit: string }>()
      await listDeliveries(connect(flags), { ...flags, limit: Number(flags.limit), json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })
  webhooks
    .command('resend')
    .description('send a webhook again, at once')
    .argument('<id>', 'as sc webhooks deliveries shows it')
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalFlags>()
      await resendDelivery(connect(flags), { id, json: flags.json ?? false, signal })
      onExitCode(EXIT.done)
    })

  program
    .command('doctor')
    .description('check the way to the master and the cluster behind it, and say what to do about what is wrong')
    .action(async (_flags: unknown, command: Command) => {
      const { json = false, ...flags } = command.optsWithGlobals<GlobalFlags>()
      onExitCode(await doctor({ config: configOf(flags), keyFile: flags.keyFile, json, signal }))
    })
  return program
}

function connect(flags: GlobalFlags): MasterClient {
  return createMasterClient(findMaster(configOf(flags), flags.keyFile))
}

function configOf(flags: GlobalFlags): Config {
  if (flags.master !== undefined && !/^https?:\/\//.test(flags.master))
    throw new ScError('SC_CONFIG', `--master ${flags.master}: expected an address that starts with http:// or https://`)
  return loadConfig({ SC_MASTER_URL: flags.master, SC_DATA_DIR: flags.dataDir })
}

function fieldsOf({
  language,
  model,
  prompt,
  chunkSeconds,
  channel,
  track,
  task,
  reuse
}: TranscribeFlags): TranscribeFields {
  const given = {
    language,
    model,
    prompt,
    chunk_seconds: chunkSeconds,
    channel,
    track,
    task,
    reuse: reuse ? undefined : 'false'
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function wholeNumber(text: string): string {
  if (/^\d{1,9}$/.test(text)) return text
  throw new InvalidArgumentError('Expected a whole number.')
}

function addScope(scope: string, before: string[] = []): string[] {
  if (KEY_SCOPES.includes(scope)) return [...before, scope]
  throw new InvalidArgumentError(`Allowed choices are ${KEY_SCOPES.join(', ')}.`)
}
