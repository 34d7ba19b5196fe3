/**
 * DESIGN: the jobs of the user's own, from the files of the master's tasks folder. Their code never runs in the master: a
 * process for the folder runs all plans and merges, and another takes its place when a file changes, or when it has ended.
 *
 *   files --load--> process: runs go here   --a file changed-->  retired: what runs in it goes on, then it ends
 *                      |
 *                      \--it ended (memory, a loop without end, native code)--> every job that ran in it is suspect
 *   suspect: its next run has a process of its own, so that nobody else's ends with it again; until one of its runs ends well
 *
 * A change that breaks a file whose jobs were there does not take them away: the process from before stays.
 */
import { ScError, toScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import type { LeftOut } from '@sc/shared/python-protocol.ts'
import { nodeTaskFiles, stampsOf } from '@sc/shared/task-files.ts'
import { watchFolder } from '@sc/shared/watch-folder.ts'
import {
  type AskedUnit,
  JobProcess,
  type JobProcessOptions,
  type MergeRequest,
  type RunRequest
} from './job-process.ts'
import type { JobDescription } from './protocol.ts'

export interface OwnJobs {
  list(): JobDescription[]
  /** Files that are not in use, and why. */
  leftOut(): LeftOut[]
  /** See `JobProcess`. */
  plan(jobId: string, request: RunRequest): AsyncGenerator<AskedUnit[], void>
  merge(jobId: string, request: MergeRequest): Promise<string>
  stop(): Promise<void>
}

export interface OwnJobsOptions extends Omit<JobProcessOptions, 'tasksDir'> {
  tasksDir: string | undefined
}

interface Place {
  process: JobProcess
  leave(): Promise<void>
}

/** The master starts without the jobs of a folder that takes longer; they come when they are loaded. */
const FIRST_LOAD_MS = 15_000
/** Processes of suspects at once: each has some 100 MB. */
const ALONE_AT_ONCE = 4
/** Jobs that failed for good stay suspects. */
const MOST_SUSPECTS = 1_000

export async function startOwnJobs({ tasksDir, ...options }: OwnJobsOptions): Promise<OwnJobs> {
  if (tasksDir === undefined) return NO_JOBS
  const folder = tasksDir
  const { log } = options
  const stopping = new AbortController()
  const processes = new Set<JobProcess>()
  const suspects = new Set<string>()
  const places = createPlaces(ALONE_AT_ONCE)
  let jobs: JobDescription[] = []
  let leftOut: LeftOut[] = []
  let current: JobProcess | undefined
  let loadedStamp = ''
  let loading: Promise<void> | undefined

  function startProcess(): JobProcess {
    const process = new JobProcess({ ...options, tasksDir: folder })
    processes.add(process)
    void process.ended.then(() => processes.delete(process))
    return process
  }

  /** Reads the folder, once at a time. Never rejects. */
  function load(): Promise<void> {
    loading ??= loadNow().finally(() => {
      loading = undefined
      loadIfChanged()
    })
    return loading
  }

  function loadIfChanged(): void {
    if (!stopping.signal.aborted && stampsOf(folder).node !== loadedStamp) void load()
  }

  async function loadNow(): Promise<void> {
    loadedStamp = stampsOf(folder).node
    const files = nodeTaskFiles(folder)
    const next = files.length > 0 ? startProcess() : undefined
    try {
      const ready = next ? await next.ready : { jobs: [], leftOut: [] }
      noteLeftOut(ready.leftOut)
      const isBroken = ready.leftOut.some(({ file }) => jobs.some(job => job.file === file))
      if (isBroken && current && !current.isDead) {
        log.warn('Until that is put right, the jobs of the tasks folder are those of before the change')
        next?.retire()
        return
      }
      current?.retire()
      current = next
      jobs = ready.jobs
      // Tasks alone are the workers'.
      if (jobs.length === 0) next?.retire()
    } catch (error) {
      if (!stopping.signal.aborted) noteLeftOut(files.map(file => ({ file, reason: toScError(error).message })))
    }
  }

  function noteLeftOut(files: LeftOut[]): void {
    leftOut = files
    for (const { file, reason } of files) log.error(`The file ${file} of the tasks folder was left out: ${reason}`)
  }

  async function enter(jobId: string, signal: AbortSignal): Promise<Place> {
    if (!suspects.has(jobId)) {
      if (!current || current.isDead) await load()
      if (!current) throw new ScError('SC_JOB_DIED', 'The tasks folder has no job now.')
      return { process: current, leave: async () => {} }
    }
    await places.take()
    const process = startProcess()
    const leave = async (): Promise<void> => {
      await process.stop()
      places.free()
    }
    try {
      await process.ready
      signal.throwIfAborted()
      return { process, leave }
    } catch (error) {
      await leave()
      throw error
    }
  }

  function note(jobId: string, { isDead }: JobProcess): void {
    suspects.delete(jobId)
    if (isDead) suspects.add(jobId)
    const [first] = suspects
    if (first !== undefined && suspects.size > MOST_SUSPECTS) suspects.delete(first)
  }

  const unwatch = watchFolder(folder, loadIfChanged, log)
  await Promise.race([load(), pause(FIRST_LOAD_MS, stopping.signal)])

  return {
    list: () => jobs,
    leftOut: () => leftOut,
    plan: async function* (jobId, request) {
      const { process, leave } = await enter(jobId, request.signal)
      try {
        yield* process.plan(request)
      } finally {
        note(jobId, process)
        await leave()
      }
    },
    merge: async (jobId, request) => {
      const { process, leave } = await enter(jobId, request.signal)
      try {
        return await process.merge(request)
      } finally {
        note(jobId, process)
        await leave()
      }
    },
    stop: async () => {
      stopping.abort()
      unwatch()
      await Promise.all([...processes].map(process => process.stop()))
    }
  }
}

const NO_JOBS: OwnJobs = {
  list: () => [],
  leftOut: () => [],
  plan: () => {
    throw new ScError('SC_JOB_DIED', 'There is no tasks folder.')
  },
  merge: () => {
    throw new ScError('SC_JOB_DIED', 'There is no tasks folder.')
  },
  stop: async () => {}
}

function createPlaces(count: number): { take(): Promise<void>; free(): void } {
  let left = count
  const waiting: Array<() => void> = []
  return {
    take: () => {
      if (left === 0) return new Promise(resolve => waiting.push(resolve))
      left--
      return Promise.resolve()
    },
    free: () => {
      const next = waiting.shift()
      if (next) next()
      else left++
    }
  }
}
