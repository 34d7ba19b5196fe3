import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openAsBlob, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'

/**
 * A real cluster on this machine for tests, benches and `pnpm verify`: one master with embedded servers and any number
 * of workers, each a process of its own, in a data folder of its own.
 */
export interface Cluster {
  readonly folder: string
  readonly url: string
  readonly master: ChildProcess
  readonly workers: Map<string, ChildProcess>
  /** `nodeArgs`: for Node itself. */
  startMaster(nodeArgs?: string[]): Promise<void>
  startWorker(name: string, args?: string[], env?: Record<string, string>, nodeArgs?: string[]): Promise<ChildProcess>
  stopWorker(name: string, signal?: NodeJS.Signals): Promise<void>
  api(path: string, init?: RequestInit): Promise<Response>
  json<T = Record<string, unknown>>(path: string, init?: RequestInit): Promise<T>
  submit(path: string, fields?: Record<string, string>): Promise<string>
  /** Waits for the job's end. */
  finished(jobId: string, timeoutMs?: number): Promise<JobView>
  /** submit, finished, and the document. */
  transcribe(path: string, fields?: Record<string, string>): Promise<{ job: JobView; document: Transcript }>
  stop(): Promise<void>
}

export interface JobView {
  jobId: string
  status: string
  progress: number
  chunks: { total: number; done: number; running: number; failed: number }
  error: { code: string; title: string; detail: string } | null
  language: string | null
  model: string | null
  durationSeconds: number | null
  startedAt: string | null
  finishedAt: string | null
}

export interface TranscriptWord {
  word: string
  start: number
  end: number
  probability: number
}

export interface Transcript {
  transcription: string
  segments: Array<{ start: number; end: number; text: string; words: TranscriptWord[]; chunk: number }>
  languages: Array<{ language: string; probability: number; duration_seconds: number }>
  duration_seconds: number
  gaps: unknown[]
  quality: unknown
  chunking: { chunk_seconds: number; chunks: number; windows: number }
}

export interface ClusterOptions {
  workers?: number
  env?: Record<string, string>
  workerEnv?: Record<string, string>
  /** Kept when given, else a temporary folder that goes with the cluster. */
  folder?: string
  /** Of the master; default: a free one at each start. */
  port?: number
  /** True: masters and workers take tasks from the folder `tasks` of the cluster's. */
  tasksDir?: boolean
}

const START_TIMEOUT_MS = 60_000

export async function startCluster({
  workers = 1,
  env = {},
  workerEnv = {},
  folder,
  port = 0,
  tasksDir = false
}: ClusterOptions = {}): Promise<Cluster> {
  const root = folder ?? (await mkdtemp(join(tmpdir(), 'sc-cluster-')))
  const dir = dataDir(join(root, 'data'))
  await mkdir(dir.logs, { recursive: true })
  const tasks = join(root, 'tasks')
  if (tasksDir) await mkdir(tasks)
  const tasksEnv: Record<string, string> = tasksDir ? { SC_TASKS_DIR: tasks } : {}
  const running = new Map<string, ChildProcess>()
  let master: ChildProcess | undefined
  let url = ''
  let key = ''

  function start(name: string, args: string[], extra: Record<string, string>): ChildProcess {
    const log = openSync(join(dir.logs, `${name}.log`), 'a')
    return spawn(process.execPath, args, {
      cwd: REPO_DIR,
      env: childEnv({ LOG_LEVEL: 'debug', ...tasksEnv, ...env, ...extra, SC_DATA_DIR: dir.root, SC_PORT: `${port}` }),
      stdio: ['pipe', log, log]
    })
  }

  const cluster: Cluster = {
    folder: root,
    get url() {
      return url
    },
    get master() {
      if (!master) throw new Error('the master has not been started')
      return master
    },
    workers: running,
    startMaster: async (nodeArgs = []) => {
      await rm(dir.master, { force: true })
      master = start('master', [...nodeArgs, 'apps/master/src/main.js', '--exit-with-parent'], {})
      const { pid } = master
      await until('the master is ready', START_TIMEOUT_MS, async () => {
        if (cluster.master.exitCode !== null) throw new Error(`the master ended: ${await tail(dir.logs, 'master')}`)
        const file = readMasterFile(dir)
        if (file?.pid !== pid) return false
        url = file?.httpUrl ?? ''
        return (await fetch(`${url}/readyz`)).ok
      })
      key = (await readFile(dir.adminKey, 'utf8')).trim()
    },
    startWorker: async (name, args = [], extra = {}, nodeArgs = []) => {
      const more = { ...workerEnv, ...extra }
      const worker = start(
        name,
        [...nodeArgs, 'apps/worker/src/main.js', 'run', '--exit-with-parent', '--name', name, ...args],
        more
      )
      running.set(name, worker)
      await until(`worker ${name} is online`, START_TIMEOUT_MS, async () => {
        if (worker.exitCode !== null) throw new Error(`worker ${name} ended: ${await tail(dir.logs, name)}`)
        const { items } = await cluster.json<{ items: WorkerView[] }>('/api/workers')
        const row = items.find(item => item.name === name && item.status === 'online')
        return row !== undefined && row.slots.length > 0 && row.slots.every(slot => slot.state !== 'starting')
      })
      return worker
    },
    stopWorker: async (name, signal = 'SIGTERM') => {
      const worker = running.get(name)
      running.delete(name)
      if (worker) await end(worker, signal)
    },
    api: (path, init = {}) => {
      const headers = new Headers(init.headers)
      headers.set('authorization', `Bearer ${key}`)
      return fetch(`${url}${path}`, { ...init, headers })
    },
    json: async (path, init) => {
      const response = await cluster.api(path, init)
      if (!response.ok) throw new Error(`${init?.method ?? 'GET'} ${path}: ${response.status} ${await response.text()}`)
      return (await response.json()) as never
    },
    submit: async (path, fields = {}) => {
      const body = new FormData()
      for (const [name, value] of Object.entries(fields)) body.set(name, value)
      body.set('file', await openAsBlob(path), basename(path))
      return (await cluster.json<{ jobId: string }>('/transcribe', { method: 'POST', body })).jobId
    },
    finished: async (jobId, timeoutMs = 600_000) => {
      let view: JobView | undefined
      await until(`job ${jobId} has ended`, timeoutMs, async () => {
        const answer = await cluster.api(`/transcribe/${jobId}`).catch(() => undefined)
        view = answer?.ok ? ((await answer.json()) as JobView) : undefined
        return view !== undefined && view.status !== 'PENDING' && view.status !== 'RUNNING'
      })
      return view as JobView
    },
    transcribe: async (path, fields = {}) => {
      const job = await cluster.finished(await cluster.submit(path, fields))
      if (job.status !== 'COMPLETED') throw new Error(`${basename(path)}: ${job.status} ${JSON.stringify(job.error)}`)
      return { job, document: await cluster.json<Transcript>(`/transcribe/${job.jobId}/result`) }
    },
    stop: async () => {
      await Promise.all([...running.values()].map(worker => end(worker, 'SIGTERM')))
      if (master) await end(master, 'SIGTERM')
      if (!folder) await rm(root, { recursive: true, force: true })
    }
  }

  try {
    await cluster.startMaster()
    for (let at = 1; at <= workers; at++) await cluster.startWorker(`worker-${at}`)
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return cluster
}

interface WorkerView {
  id: string
  name: string
  status: string
  slots: Array<{ id: string; state: string; unitId: string | null }>
}

/** Looks again and again until `condition` holds; its answer then. */
export async function until<T>(what: string, timeoutMs: number, condition: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + timeoutMs
  for (;;) {
    const answer = await condition()
    if (answer) return answer
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await exited
  clearTimeout(timer)
}

async function tail(logs: string, name: string): Promise<string> {
  const text = await readFile(join(logs, `${name}.log`), 'utf8').catch(() => '')
  return text.split('\n').slice(-20).join('\n')
}
