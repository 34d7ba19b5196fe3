import { constants } from 'node:fs'
import { access, mkdir, readdir, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { checkTasksDir } from '@sc/shared/task-files.ts'

/**
 * What can be known of the settings before anything is started: each fault is one sentence with what to do. SC_CONFIG.
 * `hosts`: where HTTP is to listen.
 */
export async function checkSettings(
  { dataDir, tasksDir, port }: Pick<Config, 'dataDir' | 'tasksDir' | 'port'>,
  hosts: string[],
  signal: AbortSignal
): Promise<void> {
  checkTasksDir(tasksDir)
  await checkFolder(dataDir)
  for (const host of hosts) await checkPort(host, port, signal)
}

/** With what is in it: another user may have started a master there, once. */
async function checkFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await checkAccess(folder)
    // Of a master that root starts, the servers have a user of their own.
    if (process.getuid?.() !== 0) for (const name of await readdir(folder)) await checkAccess(join(folder, name))
  } catch (error) {
    if (error instanceof ScError) throw error
    throw new ScError('SC_CONFIG', `SC_DATA_DIR: ${folder} cannot be used: ${(error as Error).message}`)
  }
}

async function checkAccess(path: string): Promise<void> {
  const found = await stat(path)
  const mode = constants.R_OK | constants.W_OK | (found.isDirectory() ? constants.X_OK : 0)
  if (
    await access(path, mode).then(
      () => true,
      () => false
    )
  )
    return
  const { username, uid } = userInfo()
  const next =
    found.uid === uid
      ? `Give yourself the right to read and write it (chmod -R u+rwX ${path}), or choose another folder by --data-dir.`
      : `It belongs to user ${found.uid}: give it to yourself (sudo chown -R ${username} ${path}), or choose another folder by --data-dir.`
  throw new ScError('SC_CONFIG', `SC_DATA_DIR: ${username} may not read and write ${path}. ${next}`)
}

/** A master of before may be about to end. */
const TRIES = 10
const BETWEEN_TRIES_MS = 300

async function checkPort(host: string, port: number, signal: AbortSignal, triesLeft = TRIES): Promise<void> {
  try {
    await listenOnce(host, port)
  } catch (error) {
    const fault = error as NodeJS.ErrnoException
    if (fault.code !== 'EADDRINUSE' || triesLeft === 0) throw portError(host, port, fault)
    await pause(BETWEEN_TRIES_MS, signal)
    if (!signal.aborted) await checkPort(host, port, signal, triesLeft - 1)
  }
}

async function listenOnce(host: string, port: number): Promise<void> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port }, resolve)
  await promise.finally(() => server.close())
}

function portError(host: string, port: number, error: NodeJS.ErrnoException): ScError {
  return new ScError('SC_CONFIG', sentenceOf(host, port, error), { cause: error })
}

function sentenceOf(host: string, port: number, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'EADDRINUSE':
      return `SC_PORT: another program listens on port ${port} of ${host}, perhaps another master. End it, or choose another port by --port.`
    case 'EADDRNOTAVAIL':
      return `SC_HOST: ${host} is no address of this machine.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `SC_HOST: nothing is known of a machine named ${host}.`
    case 'EACCES':
      return `SC_PORT: ${userInfo().username} may not listen on port ${port}. Choose one from 1024 by --port.`
    default:
      return `HTTP cannot listen on port ${port} of ${host}: ${message}`
  }
}
