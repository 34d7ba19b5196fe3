import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process that can be told from a later one with the same number: numbers are used again, soonest in containers. */
export interface ProcessIdentity {
  pid: number
  /** When it started, in the system's own words. */
  startedAt: string
}

const POLL_MS = 25
const ENDINGS_ON_WINDOWS = ['.com', '.exe', '.bat', '.cmd']

/**
 * Undefined: there is no such process (any more); one that ended and waits to be collected by its parent is none. Not for
 * Windows, where no program that is always there tells it: a lock is held there by an open file.
 */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid)
  return startedAt === undefined ? undefined : { pid, startedAt }
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startedAt === identity.startedAt
}

/** Whether a process is one of `leaders`, descends from one, or is in a group that one leads; without /proc only the first is known. */
export function belongsTo(pid: number, leaders: ReadonlySet<number>): boolean {
  const seen = new Set<number>()
  for (let at = pid; at > 0 && !seen.has(at); at = Number(statOnLinux(at)?.[1] ?? 0)) {
    if (leaders.has(at) || leaders.has(Number(statOnLinux(at)?.[2] ?? 0))) return true
    seen.add(at)
  }
  return false
}

/** The processes that a process has started and that run; none where there is no /proc. */
export function childrenOf(parent: number): ProcessIdentity[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(statOnLinux(Number(name))?.[1]) === parent)
    .flatMap(pid => identityOf(Number(pid)) ?? [])
}

/**
 * The processes that a process has started, and that these have started, and all that have `entry` in their environment: what
 * it left behind, too. None where there is no /proc.
 */
export function startedBy(leader: number, entry?: string): ProcessIdentity[] {
  if (process.platform !== 'linux') return []
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const parents = new Map(pids.map(pid => [Number(pid), Number(statOnLinux(Number(pid))?.[1] ?? 0)]))
  const descends = (pid: number): boolean => {
    const parent = parents.get(pid) ?? 0
    return parent === leader || (parent > 1 && parent !== pid && descends(parent))
  }
  const found = [...parents.keys()].filter(
    pid => pid !== leader && (descends(pid) || (entry !== undefined && hasInEnv(pid, entry)))
  )
  return found.flatMap(pid => identityOf(pid) ?? [])
}

/** As it was when the program began; of others' processes it is not known. */
function hasInEnv(pid: number, entry: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry)
  } catch {
    return false
  }
}

/** The name of its program, at most 15 letters; null where the system does not say. */
export function programOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return null
  }
}

/** Asks a process to end with `signal`, then forces it after `graceMs`. Resolves when it is gone. */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  if (!isRunning(identity)) return
  sendSignal(identity.pid, signal)
  for (let waited = 0; waited < graceMs && isRunning(identity); waited += POLL_MS) await sleep(POLL_MS)
  if (!isRunning(identity)) return
  sendSignal(identity.pid, 'SIGKILL')
  while (isRunning(identity)) await sleep(POLL_MS)
}

/**
 * Ends process `pid` when this one is gone, however it went: a shell of 1 MB reads a pipe that only closes with us.
 * End the returned process (SIGKILL) once `pid` has ended, before its number can be used again.
 */
export function endWithUs(pid: number, signal: NodeJS.Signals, graceSeconds: number): ChildProcess {
  const script = `read -r _
kill -s CONT "$1" 2>/dev/null
kill -s "$2" "$1" 2>/dev/null
left=$3
while [ "$left" -gt 0 ] && kill -0 "$1" 2>/dev/null; do sleep 1; left=$((left - 1)); done
kill -s KILL "$1" 2>/dev/null`
  const args = ['-c', script, 'sc-watch', String(pid), signal.replace('SIG', ''), String(graceSeconds)]
  // A group of its own: Ctrl-C in the terminal must not end the watcher before the watched.
  const watcher = spawn('/bin/sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watcher.on('error', () => {})
  watcher.stdin?.on('error', () => {})
  watcher.unref()
  const pipe: unknown = watcher.stdin
  if (typeof pipe === 'object' && pipe !== null && 'unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
  return watcher
}

/** The first of `names` that is a program in `path` (a PATH). */
export function findProgram(
  names: readonly string[],
  path: string,
  platform: NodeJS.Platform = process.platform
): string | undefined {
  const endings = platform === 'win32' ? ENDINGS_ON_WINDOWS : ['']
  const folders = path.split(delimiter).map(folder => folder || '.')
  const candidates = names.flatMap(name => folders.flatMap(folder => endings.map(end => join(folder, `${name}${end}`))))
  return candidates.find(isProgram)
}

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** At once, unless it is gone, or another user's by now. */
export function killProcess(identity: ProcessIdentity): void {
  try {
    if (isRunning(identity)) process.kill(identity.pid, 'SIGKILL')
  } catch {
    // It ended meanwhile, or runs as another user.
  }
}

export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function startOnLinux(pid: number): string | undefined {
  const fields = statOnLinux(pid)
  return !fields || fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

/** From field 3 on: 0 is the state, 1 the parent, 2 the group, 19 the start in ticks since boot. */
function statOnLinux(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // After the name, which may hold spaces and brackets.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '')
  } catch {
    return undefined
  }
}
