import { DelayedError, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { LOCK_MS, QUEUE_PREFIX, STALLED_CHECK_MS } from './keys.ts'

/**
 * A queue of the masters' own, `merge` for one, each entry a job's id. Any master may run an entry, and one
 * whose master was killed runs again on the next. An entry that is queued or running already is not added again.
 */
export interface BackgroundQueue {
  add(jobId: string): Promise<void>
  close(): Promise<void>
}

export interface BackgroundOptions {
  redis: Redis
  name: string
  concurrency: number
  /** `triesLeft` counts down to 0; a throw with tries left runs the entry again after a growing pause. */
  run(jobId: string, triesLeft: number, signal: AbortSignal): Promise<void>
  onError(error: Error): void
}

const TRIES = 4
/** After a refusal of Redis, or a rate limit, which nobody here sets, while a queue is put right; BullMQ's own pauses are 15 and 30 s. */
const AFTER_ERROR_MS = 1_000
const FIRST_PAUSE_MS = 1_000

/** The id of a job's entry in one of these queues. */
export const jobEntryId = (queue: string, jobId: string): string => `${queue}-${jobId}`

export function createBackgroundQueue({ redis, name, concurrency, run, onError }: BackgroundOptions): BackgroundQueue {
  const shared = { connection: redis, prefix: QUEUE_PREFIX, skipVersionCheck: true }
  const queue = new Queue<{ jobId: string }>(name, { ...shared, streams: { events: { maxLen: 100 } } })
  const stopping = new AbortController()
  const worker = new Worker<{ jobId: string }>(
    name,
    async (entry, token) => {
      try {
        await run(entry.data.jobId, TRIES - 1 - entry.attemptsMade, stopping.signal)
      } catch (error) {
        // A master that stops gives the entry back; the next one runs it without having lost a try.
        if (!stopping.signal.aborted) throw error
        await entry.moveToDelayed(Date.now(), token)
        throw new DelayedError()
      }
    },
    {
      ...shared,
      concurrency,
      // BullMQ waits on a copy of the connection, which gives a silent socket up after 5 s.
      drainDelay: 2,
      runRetryDelay: AFTER_ERROR_MS,
      maximumRateLimitDelay: AFTER_ERROR_MS,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: Number.MAX_SAFE_INTEGER
    }
  )
  queue.on('error', onError)
  worker.on('error', onError)
  worker.on('failed', (_entry, error) => onError(error))

  return {
    add: async jobId => {
      const backoff = { type: 'exponential', delay: FIRST_PAUSE_MS }
      const once = { attempts: TRIES, backoff, removeOnComplete: true, removeOnFail: true }
      await queue.add(name, { jobId }, { ...once, jobId: jobEntryId(name, jobId) })
    },
    close: async () => {
      stopping.abort()
      await worker.close()
      await queue.close()
    }
  }
}
