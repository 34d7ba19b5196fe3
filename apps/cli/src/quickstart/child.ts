/** Master or worker as a child of the quickstart: it ends with its parent, and prints into a log file. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { makePrivateFolder } from '@sc/shared/data-dir.ts'
import { EXIT_WITH_PARENT_FLAG } from '@sc/shared/exit-with-parent.ts'
import { withoutSecrets } from '@sc/shared/log.ts'

export interface Child {
  readonly name: string
  readonly pid: number | undefined
  readonly logPath: string
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  isRunning(): boolean
  signal(name: 'SIGTERM' | 'SIGKILL'): void
}

export interface ChildOptions {
  name: string
  script: string
  args: string[]
  logDir: string
}

export function startChild({ name, script, args, logDir }: ChildOptions): Child {
  makePrivateFolder(logDir)
  const logPath = join(logDir, `${name}.log`)
  if (existsSync(logPath)) renameSync(logPath, `${logPath}.previous`)
  const log = openSync(logPath, 'a', 0o600)
  // Detached: Ctrl-C in the terminal must reach the quickstart only, which stops the worker before the master.
  // A log file, not a pipe: a pipe would break with the parent, in the middle of the child's shutdown.
  const child = spawn(process.execPath, [script, ...args, EXIT_WITH_PARENT_FLAG], {
    stdio: ['pipe', log, log],
    detached: true
  })
  closeSync(log)
  child.stdin?.on('error', () => {})
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal as NodeJS.Signals)))
  })
  ended.catch(() => {})
  return {
    name,
    pid: child.pid,
    logPath,
    ended,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    signal: signalName => void child.kill(signalName)
  }
}

/** The last lines of a log, made readable. */
export function tailOf(logPath: string, lines = 15): string[] {
  if (!existsSync(logPath)) return []
  return readFileSync(logPath, 'utf8').trimEnd().split('\n').slice(-lines).map(readable)
}

/** The end of a child's log, to stand under a message. */
export function formatTail({ logPath }: Child): string {
  return [`\nThe end of ${logPath}:`, ...tailOf(logPath).map(line => `  | ${line}`)].join('\n')
}

/** Of a JSON line the message and the error in it. */
function readable(line: string): string {
  try {
    const { msg, err } = JSON.parse(line)
    return withoutSecrets([msg, err?.message].filter(Boolean).join(': '))
  } catch {
    return withoutSecrets(line)
  }
}
