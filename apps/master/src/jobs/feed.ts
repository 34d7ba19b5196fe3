import type { Logger } from 'pino'
import { listen } from '../database/connect.ts'

/**
 * Tells who waits that a job changed, on whichever master it changed. A notification is only a hint to look again: it
 * may be lost with its connection, so listeners look by themselves from time to time too.
 *
 *   connecting --listening--> connected --connection ends--> connecting (after a pause that doubles up to 5 s)
 */
export interface JobFeed {
  /** `jobId` null: every job. Answers how to stop hearing. `fn` must not throw. */
  onChange(jobId: string | null, fn: (jobId: string) => void): () => void
  stop(): Promise<void>
}

type Listener = (jobId: string) => void

const CHANNEL = 'sc_job'
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/** Resolves after the first try to connect; goes on trying by itself. */
export async function createJobFeed({ databaseUrl, log }: { databaseUrl: string; log: Logger }): Promise<JobFeed> {
  const listeners = new Map<string | null, Set<Listener>>()
  let connection: { close(): Promise<void> } | undefined
  let retry: NodeJS.Timeout | undefined
  let pauseMs = FIRST_PAUSE_MS
  let stopped = false

  function tell(key: string | null, jobId: string): void {
    // A copy: a listener may stop hearing while it is told.
    for (const listener of [...(listeners.get(key) ?? [])]) listener(jobId)
  }

  function tellEverybody(): void {
    for (const jobId of [...listeners.keys()]) if (jobId !== null) tell(jobId, jobId)
  }

  async function connect(): Promise<void> {
    try {
      connection = await listen(
        databaseUrl,
        CHANNEL,
        jobId => {
          tell(jobId, jobId)
          tell(null, jobId)
        },
        connectLater
      )
    } catch (error) {
      log.debug({ err: error }, 'listening for job changes failed; trying again')
      connectLater()
      return
    }
    if (stopped) return await connection.close()
    pauseMs = FIRST_PAUSE_MS
    // What changed while nobody listened.
    tellEverybody()
  }

  function connectLater(): void {
    connection = undefined
    if (stopped) return
    retry = setTimeout(() => void connect(), pauseMs)
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
  }

  await connect()
  return {
    onChange: (jobId, fn) => {
      const heard = listeners.get(jobId) ?? new Set()
      listeners.set(jobId, heard.add(fn))
      return () => {
        heard.delete(fn)
        if (heard.size === 0 && listeners.get(jobId) === heard) listeners.delete(jobId)
      }
    },
    stop: async () => {
      stopped = true
      clearTimeout(retry)
      listeners.clear()
      await connection?.close()
    }
  }
}
