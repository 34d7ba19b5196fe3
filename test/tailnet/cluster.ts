import type { ChildProcess, SpawnOptions, StdioOptions } from 'node:child_process'
import { openAsBlob, openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { dataDir } from '@sc/shared/data-dir.ts'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import { type JobView, until } from '../cluster.ts'
import { end, type TestTailnet } from './tailnet.ts'

/**
 * A master on one machine of a tailnet, started before Tailscale is up there, and workers on others, who join by its
 * MagicDNS name.
 */
export interface TailnetCluster {
  /** Asks the master; throws when the answer is none of 2xx. */
  json<T = Record<string, unknown>>(path: string, method?: string): Promise<T>
  /** Port of Redis, which the master chose. */
  redisPort(): Promise<number>
  /** Pastes the line of `sc join` there; does not wait for what becomes of it. */
  startWorker(name: string): Promise<void>
  /** What `sc-worker doctor` finds there. */
  doctor(name: string): Promise<Finding[]>
  online(names: string[]): Promise<void>
  submit(path: string, fields: Record<string, string>): Promise<string>
  units(jobId: string): Promise<UnitView[]>
  workerIdOf(name: string): Promise<string>
  finished(jobId: string): Promise<JobView>
  stop(): Promise<void>
}

export interface UnitView {
  unitId: string
  status: string
  workerId: string | null
  startedAt: string | null
  finishedAt: string | null
}

export const MASTER = 'master'
/** Whose user the master lets in by its web pages. */
export const MAY_LOG_IN = 'worker1'
export const HTTP_PORT = 5080
/** The master listens there, too; unlike its other address it does not end with tailscaled. */
const LOOPBACK = '127.0.0.1'
const START_LIMIT_MS = 90_000
const JOB_LIMIT_MS = 400_000

export async function startTailnetCluster(tailnet: TestTailnet, folder: string): Promise<TailnetCluster> {
  const children: ChildProcess[] = []
  const door = join(folder, 'door.sock')
  let key = ''

  const stdio = (name: string): StdioOptions => {
    const log = openSync(join(folder, `sc-${name}.log`), 'a')
    return ['pipe', log, log]
  }

  const envOf = (machine: string): Record<string, string> =>
    childEnv({ SC_DATA_DIR: join(folder, `data-${machine}`), TS_SOCKET: tailnet.socket(machine) })

  /** A program of the project on a machine; it ends with us. */
  function start(machine: string, script: string, args: string[], env: Record<string, string>): ChildProcess {
    const child = tailnet.spawn(machine, process.execPath, [script, ...args], {
      cwd: REPO_DIR,
      stdio: stdio(machine),
      env: { LOG_LEVEL: 'debug', ...envOf(machine), ...env }
    })
    children.push(child)
    return child
  }

  async function ask(path: string, method: string, body?: FormData): Promise<{ status: number; body: string }> {
    const form = body && new Response(body)
    const type = form?.headers.get('content-type')
    const headers = { authorization: `Bearer ${key}`, host: `${LOOPBACK}:${HTTP_PORT}` }
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
    const asking = request({
      socketPath: door,
      method,
      path,
      headers: type ? { ...headers, 'content-type': type } : headers,
      agent: false,
      signal: AbortSignal.timeout(body ? START_LIMIT_MS : 5_000)
    })
      .on('response', answer => text(answer).then(body => resolve({ status: answer.statusCode ?? 0, body }), reject))
      .on('error', reject)
    if (form?.body) Readable.fromWeb(form.body as never).pipe(asking)
    else asking.end()
    return await promise
  }

  async function askAgainAndAgain(path: string, method: string): Promise<{ status: number; body: string }> {
    const giveUpMs = performance.now() + START_LIMIT_MS
    for (;;) {
      try {
        const answer = await ask(path, method)
        if (answer.status !== 503 || performance.now() > giveUpMs) return answer
      } catch (error) {
        if (performance.now() > giveUpMs) throw error
      }
      await sleep(100)
    }
  }

  async function json<T>(path: string, method = 'GET', body?: FormData): Promise<T> {
    // Redis may be away while links are.
    const answer = body ? await ask(path, method, body) : await askAgainAndAgain(path, method)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
    return JSON.parse(answer.body) as T
  }

  async function workers(): Promise<{ id: string; name: string; status: string; slots: { state: string }[] }[]> {
    return (await json<{ items: [] }>('/api/workers')).items
  }

  const cluster: TailnetCluster = {
    json,
    redisPort: async () => Number(new URL((await json<{ brokerUrl: string }>('/api/cluster/info')).brokerUrl).port),
    startWorker: async name => {
      const { command } = await json<{ command: string }>('/api/cluster/join-codes', 'POST')
      const [, broker = ''] = / --broker (\S+)/.exec(command) ?? []
      const args = ['run', '--exit-with-parent', '--name', name, '--concurrency', '1']
      start(name, 'apps/worker/src/main.js', [...args, '--broker', broker], { OMP_NUM_THREADS: '1' })
    },
    doctor: async name => {
      const args = ['apps/worker/src/main.js', 'doctor', '--json', '--name', name]
      const options: SpawnOptions = { cwd: REPO_DIR, stdio: ['ignore', 'pipe', 'inherit'], env: envOf(name) }
      const { stdout } = tailnet.spawn(name, process.execPath, args, options)
      return JSON.parse(await text(stdout as Readable)).findings
    },
    online: async names => {
      await until(`${names.join(', ')} are online`, START_LIMIT_MS, async () => {
        const rows = await workers()
        return names.every(name =>
          rows.some(
            row => row.name === name && row.status === 'online' && row.slots.some(({ state }) => state === 'idle')
          )
        )
      })
    },
    submit: async (path, fields) => {
      const body = new FormData()
      for (const [name, value] of Object.entries(fields)) body.set(name, value)
      body.set('file', await openAsBlob(path), basename(path))
      return (await json<{ jobId: string }>('/transcribe', 'POST', body)).jobId
    },
    units: async jobId => (await json<{ items: UnitView[] }>(`/api/jobs/${jobId}/units`)).items,
    workerIdOf: async name => (await workers()).find(row => row.name === name)?.id ?? '',
    finished: async jobId => {
      let view: JobView | undefined
      await until(`job ${jobId} has ended`, JOB_LIMIT_MS, async () => {
        view = await json<JobView>(`/transcribe/${jobId}`)
        return view.status !== 'PENDING' && view.status !== 'RUNNING'
      })
      return view as JobView
    },
    stop: async () => {
      // Last to first: workers, the way in, the master, its Redis.
      for (const child of children.toReversed()) await end(child, 'SIGTERM')
    }
  }

  const mode = async () => (await json<{ mode: string }>('/api/cluster/info')).mode

  try {
    await tailnet.stopDaemon(MASTER, 'SIGTERM')
    const master = start(MASTER, 'apps/master/src/main.js', ['--exit-with-parent', '--mode', 'auto'], {
      SC_PORT: `${HTTP_PORT}`,
      SC_TAILNET_LOGIN: await tailnet.loginName(MAY_LOG_IN)
    })
    start(MASTER, 'test/tailnet/door.ts', [door, LOOPBACK, `${HTTP_PORT}`], {})
    const ready = async () => (await ask('/readyz', 'GET').catch(() => null))?.status === 200
    await until('the master is ready', START_LIMIT_MS, async () => {
      if (master.exitCode !== null) throw new Error('the master ended')
      return await ready()
    })
    key = readFileSync(dataDir(join(folder, `data-${MASTER}`)).adminKey, 'utf8').trim()
    if ((await mode()) !== 'local') throw new Error('the master found a tailnet before there was one')
    await tailnet.startDaemon(MASTER)
    await until('the master goes over to the tailnet', START_LIMIT_MS, async () => (await mode()) === 'tailscale')
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return cluster
}
