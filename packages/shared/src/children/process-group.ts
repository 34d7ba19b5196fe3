import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { killProcess, type ProcessIdentity, startedBy } from '../processes.ts'
import { createLineSplitter } from './lines.ts'

/** How to start a process. */
export interface Command {
  file: string
  args: string[]
  cwd: string
  /** Its lines come and go by these descriptors; its stdout counts as stderr, and its stdin is empty. Default: by both. */
  protocolFds?: { out: 3; in: 4 }
}

export interface ProcessGroup {
  readonly pid: number | undefined
  /** Resolves when the process and its pipes are closed. */
  readonly ended: Promise<void>
  write(line: string): void
  /** Resolves when the process has read most of what was written, or has ended. */
  drained(): Promise<void>
  closeInput(): void
  /** To the process and to whatever it started. On Windows each signal ends them at once. */
  signal(signal: NodeJS.Signals): void
}

export interface ProcessEvents {
  onLine(line: string): void
  onLineWithoutEnd(): void
  onStderr(text: string): void
  /** `reason`: `it ended with SIGKILL`, or why it did not start. Called once. */
  onEnd(reason: string): void
}

/** After the end of a process its pipes may have more to read for so long. */
const PIPES_MS = 1_000
/** In the environment of each such process, and so of all that it starts. No `SC_…`: of these, one that is unknown is refused. */
const MARK = 'SEMANTICS_CLUSTER_PROCESS'

/** What `taskkill` finds below a process, it finds while that runs; afterwards the number may be another's. */
function endTree(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return
  const args = ['/PID', String(child.pid), '/T', '/F']
  if (spawnSync('taskkill', args, { stdio: 'ignore', windowsHide: true }).status !== 0) child.kill()
}

/** What keeps the terminal's Ctrl-C from a child: on Windows a console of its own that is not shown. */
export function apartFromTerminal(platform: NodeJS.Platform): { detached: boolean; windowsHide: boolean } {
  return platform === 'win32' ? { detached: false, windowsHide: true } : { detached: true, windowsHide: false }
}

/**
 * A child process that leads a group of its own: a Ctrl-C in the terminal does not reach it, and a signal reaches all
 * that it started. It is killed when this process exits, and with it what left the group (Linux): whatever descends from
 * it, or was started with its environment.
 */
export function spawnGroup(command: Command, env: Record<string, string>, events: ProcessEvents): ProcessGroup {
  const { file, args, cwd, protocolFds } = command
  const stdio: StdioOptions = protocolFds ? ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe']
  const mark = randomUUID()
  const options = { cwd, env: { ...env, [MARK]: mark }, stdio, ...apartFromTerminal(process.platform) }
  const child = spawn(file, args, options)
  const protocol = child.stdio[protocolFds?.out ?? 1] as Readable
  const input = child.stdio[protocolFds?.in ?? 0] as Writable
  const { promise: ended, resolve: onEnded } = Promise.withResolvers<void>()
  let spawnError = ''
  let open = true
  const apart: ProcessIdentity[] = []

  function signal(name: NodeJS.Signals): void {
    if (!open || child.pid === undefined) return
    if (process.platform === 'win32') {
      endTree(child)
      return
    }
    // Before: what it has started is found below it while it is there.
    apart.push(...startedBy(child.pid, `${MARK}=${mark}`))
    try {
      process.kill(-child.pid, name)
    } catch {
      child.kill(name)
    }
    if (name === 'SIGKILL') for (const one of apart.splice(0)) killProcess(one)
  }
  const killAll = (): void => signal('SIGKILL')
  process.on('exit', killAll)

  // A child that dies while it is written to: its end is told by `close`.
  input.on('error', () => {})
  protocol.on('error', () => {}).on('data', createLineSplitter(events.onLine, events.onLineWithoutEnd))
  for (const stream of [child.stdout, child.stderr] as Readable[])
    if (stream !== protocol) stream.setEncoding('utf8').on('data', events.onStderr)
  child.on('error', error => {
    spawnError = error.message
  })
  // What the child started must not outlive it, nor hold its pipes open.
  child.on('exit', () => {
    killAll()
    // Something that was not found holds them.
    setTimeout(() => child.stdio.forEach(pipe => void pipe?.destroy()), PIPES_MS).unref()
  })
  child.on('close', (code, name) => {
    open = false
    process.off('exit', killAll)
    events.onEnd(spawnError || `it ended with ${name ?? `exit code ${code}`}`)
    onEnded()
  })

  let lines: string[] = []
  /** Of all who wait. */
  let draining: Promise<void> | undefined
  /** All that is written at once goes in one piece: a system call for each line is what short tasks spend most time on. */
  function write(line: string): void {
    if (lines.push(`${line}\n`) === 1) queueMicrotask(flush)
  }
  function flush(): void {
    if (lines.length > 0 && input.writable) input.write(lines.join(''))
    lines = []
  }

  return {
    pid: child.pid,
    ended,
    write,
    drained: async () => {
      flush()
      if (!open || !input.writableNeedDrain) return
      draining ??= Promise.race([ended, new Promise<void>(resolve => input.once('drain', resolve))]).finally(() => {
        draining = undefined
      })
      await draining
    },
    closeInput: () => {
      flush()
      input.end()
    },
    signal
  }
}
