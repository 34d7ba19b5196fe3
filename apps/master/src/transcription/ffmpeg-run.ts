import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { childEnv } from '@sc/shared/config.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Command } from './ffmpeg-command.ts'

const STDERR_TAIL_CHARS = 4_000
/** What it tells of a recording stands after the tags, which may hold a whole song's text. */
const STDERR_HEAD_CHARS = 256 * 1024
/** Exit codes of nice and prlimit for a program that is not there or not executable. */
const NOT_STARTED = new Set([126, 127])

export interface FfmpegEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The end of what it said. */
  readonly stderr: string
  readonly stderrHead: string
}

export interface FfmpegRun {
  /** The next output, or undefined at its end. */
  read(): Promise<Buffer | undefined>
  readonly ended: Promise<FfmpegEnd>
  /** Ends whatever still runs. */
  kill(): void
}

export interface RunOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Gets each line of its log, about when what it is about comes out. */
  readonly onLine?: (line: string) => void
}

/** Starts ffmpeg in a process group of its own; SC_DECODE_TIMEOUT and SC_CANCELLED come out of `read`. */
export function startFfmpeg([program, ...args]: Command, { timeoutMs, signal, onLine }: RunOptions): FfmpegRun {
  if (signal?.aborted) throw cancelled()
  // A group of its own, so that the end reaches whatever ffmpeg may have started.
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: childEnv({ LC_ALL: 'C' })
  })
  const failed = once(child, 'error').then(([error]) => {
    throw new ScError('SC_INTERNAL', `ffmpeg did not start: ${(error as Error).message}`, { cause: error })
  })
  const ended = Promise.race([collectEnd(child, onLine), failed])
  // Looked at only after the output's end; until then a failed start must not count as unhandled.
  ended.catch(() => {})
  let isClosed = false
  const kill = () => {
    if (isClosed) return
    killGroup(child)
    // Output that nobody reads would keep the handle open.
    child.stdout.destroy()
  }
  let stopped: ScError | undefined
  const stop = (error: ScError) => {
    stopped ??= error
    kill()
  }
  const onAbort = () => stop(cancelled())
  signal?.addEventListener('abort', onAbort, { once: true })
  child.once('close', () => {
    isClosed = true
    signal?.removeEventListener('abort', onAbort)
  })

  const output: AsyncIterator<Buffer> = child.stdout[Symbol.asyncIterator]()
  let leftMs = timeoutMs
  async function read(): Promise<Buffer | undefined> {
    const startedMs = performance.now()
    const timeout = new ScError('SC_DECODE_TIMEOUT', `ffmpeg needed more than ${Math.round(timeoutMs / 1000)} s.`)
    const timer = setTimeout(stop, Math.max(0, leftMs), timeout)
    try {
      const next = await output.next()
      if (next.done) await ended
      if (stopped) throw stopped
      return next.done ? undefined : next.value
    } catch (error) {
      throw stopped ?? error
    } finally {
      clearTimeout(timer)
      leftMs -= performance.now() - startedMs
    }
  }
  return { read, ended, kill }
}

async function collectEnd(
  child: ChildProcessByStdio<null, Readable, Readable>,
  onLine: (line: string) => void = () => {}
): Promise<FfmpegEnd> {
  let head = ''
  let tail = ''
  let line = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (head.length < STDERR_HEAD_CHARS) head += text
    tail = (tail + text).slice(-STDERR_TAIL_CHARS)
    const lines = (line + text).split('\n')
    line = lines.pop()?.slice(-STDERR_TAIL_CHARS) ?? ''
    lines.forEach(onLine)
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (code !== null && NOT_STARTED.has(code)) throw new ScError('SC_INTERNAL', 'ffmpeg did not start.')
  return { code, signal, stderr: tail, stderrHead: head }
}

/** Also when ffmpeg itself has ended: whoever of its group still holds the output would be waited for. */
function killGroup(child: ChildProcessByStdio<null, Readable, Readable>): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // There is no such group any more.
  }
}

function cancelled(): ScError {
  return new ScError('SC_CANCELLED', 'Stopped while decoding the recording.')
}
