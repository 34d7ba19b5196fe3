/**
 * DESIGN: the smallest cluster, a master and one worker, as children of this process.
 *
 *   look for a running master of the data folder --none--> start master --ready--> start worker --online--> use it
 *                                                 --one---> is a worker online? --no---> start worker
 *
 * What an earlier quickstart is stopping is waited for first. Only what was started here is stopped here, last to first:
 * the worker gives its units back while the master still listens.
 */
import { join } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { REPO_DIR } from '@sc/shared/config.ts'
import { type DataDir, dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { freePort } from '@sc/shared/free-port.ts'
import { printError } from '@sc/shared/printable.ts'
import { z } from 'zod'
import { fetchWorkers } from '../commands/workers.ts'
import { findMaster } from '../connect/find-master.ts'
import { createMasterClient, type MasterClient } from '../connect/master-client.ts'
import { type Child, startChild } from './child.ts'
import { hasLeftovers, removeRecord, waitForLeftovers, writeRecord } from './record.ts'
import { runStep, type Step } from './step.ts'
import { waitFor } from './wait-for.ts'

export interface Cluster {
  client: MasterClient
  /** The link that logs a browser in, once. Undefined: the master gives none. */
  loginUrl: string | undefined
  /** What was started here, the last one first. */
  children: Child[]
}

const WORKER_NAME = 'quickstart'
const DRAIN_MS = 60_000
const FORCE_MS = 10_000

/** `children` gets each child as soon as it runs, so that a failure half way can stop it. */
export async function startCluster(config: Config, children: Child[], signal: AbortSignal): Promise<Cluster> {
  const dir = dataDir(config.dataDir)
  const stream = process.stderr
  if (hasLeftovers(dir))
    await runStep('Waiting for an earlier quickstart to stop', stream, () => waitForLeftovers(dir, signal))
  let client = await findRunning(config)
  if (client) printError(`✓ Using the master that runs at ${client.url}\n`)
  else
    client = await runStep('Starting the master: database, queues, API', stream, async step => {
      const port = await choosePort(config)
      const child = start(children, dir, 'master', 'apps/master/src/main.js', ['--port', String(port)])
      const look = async () => (isOwn(dir, child) ? await findRunning(config) : undefined)
      return await waitFor('the master is ready', look, { child, signal, onDetail: step.detail })
    })
  await runStep('Starting a worker', stream, step => startWorker(client, dir, children, signal, step))
  return { client, loginUrl: readMasterFile(dir)?.loginUrl, children }
}

/** Stops what was started here; `force` hurries the worker up. */
export async function stopCluster(dir: DataDir, children: Child[], force: AbortSignal): Promise<void> {
  if (children.length === 0) return
  writeRecord(dir, children, true)
  for (const child of children.splice(0)) {
    if (!child.isRunning()) continue
    const hurry = (): void => {
      // A second SIGTERM makes a worker give its unit back at once; the master has nothing to wait for.
      if (child.name === 'worker') child.signal('SIGTERM')
      setTimeout(() => child.signal('SIGKILL'), FORCE_MS).unref()
    }
    const drained = setTimeout(hurry, DRAIN_MS)
    child.signal('SIGTERM')
    if (force.aborted) hurry()
    force.addEventListener('abort', hurry, { once: true })
    await child.ended.catch(() => {})
    force.removeEventListener('abort', hurry)
    clearTimeout(drained)
  }
  removeRecord(dir)
}

function start(children: Child[], dir: DataDir, name: string, script: string, args: string[]): Child {
  const options = { name, script: join(REPO_DIR, script), args: [...args, '--data-dir', dir.root], logDir: dir.logs }
  const child = startChild(options)
  children.unshift(child)
  writeRecord(dir, children, false)
  return child
}

async function startWorker(
  client: MasterClient,
  dir: DataDir,
  children: Child[],
  signal: AbortSignal,
  step: Step
): Promise<void> {
  // What a new master says of workers may be the last word of one that was killed: it stands for 10 s.
  if (children.length === 0 && (await onlineWorker(client, signal))) return
  const child = start(children, dir, 'worker', 'apps/worker/src/main.js', ['run', '--name', WORKER_NAME])
  await waitFor('the worker is online', () => onlineWorker(client, signal), { child, signal, onDetail: step.detail })
}

/** True when some slot can take units. Throws when every slot of our worker is out of service. */
async function onlineWorker(client: MasterClient, signal: AbortSignal): Promise<true | undefined> {
  const online = (await fetchWorkers(client, signal)).filter(({ status }) => status === 'online')
  const slots = online.flatMap(worker => worker.slots)
  if (slots.some(({ state }) => state === 'idle' || state === 'running')) return true
  const broken = slots.find(({ state }) => state === 'out-of-service')
  if (broken && slots.every(({ state }) => state === 'out-of-service'))
    throw new ScError('SC_CHILD_DIED', `Slot ${broken.id} of the worker cannot start: ${broken.reason}`)
  return undefined
}

/** A master of this data folder that answers and is ready. */
async function findRunning(config: Config): Promise<MasterClient | undefined> {
  const file = readMasterFile(dataDir(config.dataDir))
  if (!file) return undefined
  const client = createMasterClient(findMaster({ ...config, masterUrl: file.httpUrl }))
  const signal = AbortSignal.timeout(3_000)
  try {
    await client.get('/readyz', z.unknown(), signal)
    // A stranger on that port would not know our key.
    await client.get('/api/cluster/info', z.object({ role: z.literal('master') }), signal)
    return client
  } catch {
    return undefined
  }
}

/** The file of an earlier master may lie there until ours writes its own. */
function isOwn(dir: DataDir, child: Child): boolean {
  return readMasterFile(dir)?.pid === child.pid
}

async function choosePort({ host, port }: Config): Promise<number> {
  const free = await freePort(port, host)
  if (port !== 0 && free !== port)
    printError(`  Port ${port} is taken by another program: this master uses port ${free}. SC_PORT chooses one.\n`)
  return free
}
