/**
 * DESIGN. One embedded server is one child process of the master.
 *
 *   starting ──answers──▶ running ──exits──▶ waiting ──back-off──▶ starting
 *      │ exits before it ever answered          │
 *      ▼                                        ▼
 *   failed (start throws)      stop() from any state ──▶ stopping ──▶ stopped
 *
 * restart() kills a running one: for a server that hangs. What is stopping gets STOP_GRACE_MS, then it is killed with all
 * that it started; it is woken first, as a frozen one (SIGSTOP) obeys no other signal.
 *
 * The child has its own process group, so that Ctrl-C reaches the master only, which stops it last. A watcher ends the
 * child when the master is killed; what a killed watcher leaves, the next start ends (claim.ts). The child writes to
 * `server.log`, not to a pipe, which would break with the master. A new kind of server: give a `ServerSpec`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { childrenOf, endWithUs, identityOf, isRunning, sendSignal } from '@sc/shared/processes.ts'
import { claimFolder } from './claim.ts'

export interface Command {
  program: string
  args: string[]
  env: Record<string, string>
  cwd?: string
  uid?: number
  gid?: number
}

export interface ServerSpec {
  name: string
  /** Holds `server.log` and `owner.json`. */
  folder: string
  stopSignal: NodeJS.Signals
  /** Before the first start, with the folder claimed: whatever must exist. */
  prepare(): Promise<void>
  command(): Promise<Command>
  /** Resolves when process `pid` answers; retries by itself until `signal` aborts. */
  answers(pid: number, signal: AbortSignal): Promise<void>
  /** A first start failed: change what can be changed and return true to try again. */
  repair(logTail: string): Promise<boolean>
}

const START_TIMEOUT_MS = 120_000
/** With the patience of the master's other steps it stays below the 20 s in which a master ends. */
const STOP_GRACE_MS = 8_000
const FIRST_BACKOFF_MS = 200
const LONGEST_BACKOFF_MS = 5_000
const LOG_KEPT_BYTES = 8 * 1024 * 1024

export interface RunningServer {
  /** Kills the process; as after any end of its own, the next is started. */
  restart(reason: string): void
  stop(): Promise<void>
}

/** Starts the server and keeps it running until `stop`. `signal` ends the attempt to start. */
export async function superviseServer(spec: ServerSpec, log: Logger, signal?: AbortSignal): Promise<RunningServer> {
  signal?.throwIfAborted()
  const stopping = new AbortController()
  const claim = await claimFolder(spec.folder, { signal: spec.stopSignal, graceMs: STOP_GRACE_MS }, server =>
    log.warn({ pid: server.pid }, `ending the ${spec.name} that a killed master left running`)
  )
  const logFile = join(spec.folder, 'server.log')
  let child: ChildProcess | undefined
  let watcher: ChildProcess | undefined

  async function launch(): Promise<void> {
    if (existsSync(logFile) && statSync(logFile).size > LOG_KEPT_BYTES) truncateSync(logFile)
    const { program, args, ...options } = await spec.command()
    const output = openSync(logFile, 'a', 0o600)
    const started = spawn(program, args, { ...options, stdio: ['ignore', output, output], detached: true })
    closeSync(output)
    child = started
    // Without a pid the spawn itself failed, and 'error' says why.
    if (started.pid === undefined) throw (await once(started, 'error'))[0]
    started.on('error', error => log.error({ err: error }, `${spec.name} could not be signalled`))
    watcher = endWithUs(started.pid, spec.stopSignal, STOP_GRACE_MS / 1000)
    started.once('exit', endWatcher)
    const identity = identityOf(started.pid)
    if (identity) claim.record(identity)
    const givenUp = AbortSignal.any([
      stopping.signal,
      AbortSignal.timeout(START_TIMEOUT_MS),
      ...(signal ? [signal] : [])
    ])
    const waiting = new AbortController()
    const exited = once(started, 'exit', { signal: waiting.signal }).then(([code, by]) => {
      throw new Error(`it ended with ${by ?? `code ${code}`}`)
    })
    try {
      await Promise.race([spec.answers(started.pid, AbortSignal.any([givenUp, waiting.signal])), exited])
    } catch (error) {
      await end()
      throw error
    } finally {
      waiting.abort()
      exited.catch(() => {})
    }
  }

  function endWatcher(): void {
    watcher?.kill('SIGKILL')
    watcher = undefined
  }

  async function end(): Promise<void> {
    const ending = child
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return
    const exited = once(ending, 'exit')
    ending.kill('SIGCONT')
    ending.kill(spec.stopSignal)
    const force = setTimeout(() => killWithChildren(ending), STOP_GRACE_MS)
    await exited
    clearTimeout(force)
  }

  async function firstStart(): Promise<void> {
    for (let repaired = false; ; repaired = true) {
      try {
        return await launch()
      } catch (error) {
        signal?.throwIfAborted()
        const tail = tailOf(logFile)
        if (!repaired && (await spec.repair(tail))) continue
        const reason = error instanceof Error ? error.message : String(error)
        throw new ScError('SC_UNAVAILABLE', `${spec.name} did not start: ${reason}. The end of ${logFile}:\n${tail}`, {
          cause: error
        })
      }
    }
  }

  async function keepRunning(): Promise<void> {
    for (let backoffMs = FIRST_BACKOFF_MS; !stopping.signal.aborted; ) {
      const running = child
      if (running && running.exitCode === null && running.signalCode === null) {
        const since = Date.now()
        await once(running, 'exit', { signal: stopping.signal }).catch(() => {})
        if (stopping.signal.aborted) return
        if (Date.now() - since > 60_000) backoffMs = FIRST_BACKOFF_MS
        log.error({ logTail: tailOf(logFile) }, `${spec.name} ended by itself; it is started again`)
      }
      await sleep(backoffMs, undefined, { signal: stopping.signal }).catch(() => {})
      backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS)
      if (stopping.signal.aborted) return
      await launch().catch(error => {
        if (!stopping.signal.aborted) log.error({ err: error }, `${spec.name} did not start again`)
      })
    }
  }

  try {
    await spec.prepare()
    await firstStart()
  } catch (error) {
    claim.release()
    throw error
  }
  const kept = keepRunning()
  return {
    restart(reason) {
      log.error({ pid: child?.pid }, `${spec.name} is killed and started again: ${reason}`)
      if (child) killWithChildren(child)
    },
    async stop() {
      stopping.abort()
      await kept
      await end()
      claim.release()
    }
  }
}

/** PostgreSQL's backends have groups of their own, and a frozen one does not notice that its server is gone. */
function killWithChildren(child: ChildProcess): void {
  const children = child.pid === undefined ? [] : childrenOf(child.pid)
  child.kill('SIGKILL')
  for (const identity of children) if (isRunning(identity)) sendSignal(identity.pid, 'SIGKILL')
}

/** The last lines that a server said. */
function tailOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').slice(-12).join('\n') : ''
}
