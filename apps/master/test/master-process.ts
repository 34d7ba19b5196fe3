import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { vi } from 'vitest'

export interface StartingMaster {
  readonly folder: string
  readonly child: ChildProcess
  /** The process id of an embedded server. */
  serverPid(name: 'redis' | 'postgres'): number
  /** What it logged, line by line. */
  log(): string
  /** Ends whatever is left, and removes the folder. */
  remove(): Promise<void>
}

export interface MasterProcess extends StartingMaster {
  readonly url: string
  /** With the master's own login. */
  readonly redisUrl: string
  /** With the admin key. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

/** A real master with embedded servers, as `pnpm start:master` starts it, in a data folder of its own. */
export async function startMasterProcess(env: Record<string, string> = {}): Promise<MasterProcess> {
  const starting = beginMasterProcess(env)
  const { child, folder, log } = starting
  const dir = dataDir(folder)
  await vi.waitFor(
    () => {
      if (readMasterFile(dir)?.pid !== child.pid) throw new Error(`the master is not up: ${log().slice(-2_000)}`)
    },
    { timeout: 60_000, interval: 50 }
  )
  const { httpUrl: url, redisUrl } = readMasterFile(dir) as { httpUrl: string; redisUrl: string }
  const authorization = `Bearer ${readFileSync(dir.adminKey, 'utf8').trim()}`
  return {
    ...starting,
    url,
    redisUrl,
    fetch: (path, init = {}) => fetch(`${url}${path}`, { ...init, headers: { ...init.headers, authorization } })
  }
}

/** The same, which may not be up yet. `detached`: in a process group of its own, as a terminal starts it. */
export function beginMasterProcess(env: Record<string, string> = {}, detached = false): StartingMaster {
  const folder = mkdtempSync(join(tmpdir(), 'sc-master-'))
  const logFile = join(folder, 'test.log')
  const output = openSync(logFile, 'a')
  const child = spawn(process.execPath, ['apps/master/src/main.js'], {
    cwd: REPO_DIR,
    env: childEnv({ LOG_LEVEL: 'debug', SC_MODE: 'local', SC_PORT: '0', SC_DATA_DIR: folder, ...env }),
    stdio: ['ignore', output, output],
    detached
  })
  return {
    folder,
    child,
    serverPid: name => JSON.parse(readFileSync(join(folder, name, 'owner.json'), 'utf8')).server.pid,
    log: () => readFileSync(logFile, 'utf8'),
    remove: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit')
        child.kill('SIGINT')
        await exited
      }
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
