/**
 * One queue for each capability class, carrying references to units: an entry is one unit, or several short ones.
 *
 * Only masters see BullMQ. The dispatcher adds entries and moves stalled ones back; the matcher takes one for each slot that
 * asks, renews its lock while the slot's worker holds it, and releases it after its outcomes are in PostgreSQL. BullMQ's own
 * results, retries and events are not used: what came of a unit travels by the outbox.
 */

import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { createRedisBackend, type Job, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { LOCK_MS, QUEUE_PREFIX, STALLED_CHECK_MS } from './keys.ts'
import { type QueueEntry, queueEntrySchema, unitsOf } from './queue-entry.ts'
import { bandOf } from './queue-order.ts'

/** Never reached: crashes are counted by the master, from the outboxes. */
const MAX_STALLED_COUNT = 1_000_000
/** After an outage the workers renew their locks before stalled units are looked for. */
const RECONNECT_GRACE_MS = 2_000
/** A member of `prioritized` has the score: priority times this, plus a counter. */
const SCORES_PER_PRIORITY = 2 ** 32
/** Of a list of entries without a priority. */
const MOST_LOOKED_AT = 10_000
/** BullMQ writes events that nothing here reads: keep the stream short. */
const MAX_EVENTS = 100

export interface UnitQueue {
  readonly name: string
  readonly redis: Redis
  readonly queue: Queue<QueueEntry>
  readonly taker: Worker<QueueEntry>
}

/** An entry that was taken for a slot, and is locked. */
export interface TakenEntry {
  /** In the order in which they run. */
  readonly units: [UnitPayload, ...UnitPayload[]]
  readonly queue: UnitQueue
  readonly jobId: string
  readonly token: string
  readonly job: Job<QueueEntry>
  /** It was taken before: by a slot that was lost, or gave it back at once. */
  readonly isAgain: boolean
}

export interface AddOptions {
  /** One id for each entry, without `:`, not an integer. An id that is queued or active is not added again: each
   *  try of a unit needs its own, since the job of the one before is released only after its error is reported. */
  jobIds: string[]
  /** One for each unit, see `queue-order.ts`; left out or 0: before every other, in order. */
  priorities?: number[]
}

/** `redis` is shared by every queue, stays open when the queue is closed, and must have `maxRetriesPerRequest: null`. */
export function openQueue(redis: Redis, name: string, onError: (error: Error) => void = () => {}): UnitQueue {
  const shared = { connection: redis, prefix: QUEUE_PREFIX, skipVersionCheck: true }
  const queue = new Queue<QueueEntry>(name, { ...shared, streams: { events: { maxLen: MAX_EVENTS } } })
  const taker = new Worker<QueueEntry>(
    name,
    null,
    { ...shared, lockDuration: LOCK_MS, stalledInterval: STALLED_CHECK_MS, maxStalledCount: MAX_STALLED_COUNT },
    // Without BullMQ's blocking connection: nobody waits on a queue, whoever adds to one says so.
    (queueName, options) => createRedisBackend(queueName, options, {})
  )
  queue.on('error', onError)
  taker.on('error', onError)
  return { name, redis, queue, taker }
}

export async function closeQueue({ queue, taker }: UnitQueue): Promise<void> {
  await taker.close(true)
  await queue.close()
}

/** Adds entries in order, one round trip. */
export async function addEntries({ queue }: UnitQueue, entries: QueueEntry[], options: AddOptions): Promise<void> {
  const { jobIds, priorities = [] } = options
  if (jobIds.length !== entries.length) throw new RangeError('one job id for each entry')
  if (entries.length === 0) return
  const once = { attempts: 1, removeOnComplete: true, removeOnFail: true }
  const jobs = entries.map((entry, at) => ({
    name: entry.task,
    data: entry,
    opts: { ...once, priority: priorities[at] ?? 0, jobId: jobIds[at] as string }
  }))
  const [first] = jobs
  // Many go by a pipeline, which takes longer than one by itself.
  if (jobs.length === 1 && first) await queue.add(first.name, first.data, first.opts)
  else await queue.addBulk(jobs)
}

/** Removes entries; one that is taken stays, and is answered. Nothing that BullMQ's own keys name beside is followed. */
export async function removeEntries({ queue }: UnitQueue, jobIds: string[]): Promise<string[]> {
  const removed = await Promise.all(jobIds.map(jobId => queue.remove(jobId, { removeChildren: false })))
  return jobIds.filter((_, at) => removed[at] === 0)
}

export async function countEntries({ queue }: UnitQueue): Promise<{ waiting: number; active: number }> {
  const counts = await queue.getJobCounts('wait', 'prioritized', 'active')
  return { waiting: (counts.wait ?? 0) + (counts.prioritized ?? 0), active: counts.active ?? 0 }
}

/** The first unit of each of the first `most` entries, in the order in which they are taken. */
export async function peekEntries({ queue }: UnitQueue, most: number): Promise<UnitPayload[]> {
  const waiting = await queue.getJobs(['wait'], 0, most - 1, true)
  const left = most - waiting.length
  const ranked = left > 0 ? await queue.getJobs(['prioritized'], 0, left - 1, true) : []
  return [...waiting, ...ranked].flatMap(job => queueEntrySchema.safeParse(job?.data).data ?? [])
}

/** Those of the entries that are taken. */
export async function takenAmong({ queue }: UnitQueue, jobIds: string[]): Promise<Set<string>> {
  const states = await Promise.all(jobIds.map(jobId => queue.getJobState(jobId)))
  return new Set(jobIds.filter((_, at) => states[at] === 'active'))
}

/** Takes the first entry of the queue and locks it for LOCK_MS; null: there is none. */
export async function takeEntry(queue: UnitQueue, token: string): Promise<TakenEntry | null> {
  // A rate limit, which nobody here sets, would be remembered by BullMQ for as long as it was to last.
  Object.assign(queue.taker, { limitUntil: 0 })
  const job = await queue.taker.getNextJob(token, { block: false })
  if (!job) return null
  const jobId = job.id as string
  const entry = queueEntrySchema.safeParse(job.data)
  if (entry.success) return { units: unitsOf(entry.data), queue, jobId, token, job, isAgain: job.attemptsStarted > 1 }
  await job.moveToCompleted(null, token, false)
  throw new ScError('SC_INTERNAL', `Dropped job ${jobId} of queue ${queue.name}: ${entry.error.message}`)
}

/** An entry that was taken before this process knew of it; undefined: it is not in Redis. */
export async function findTaken(queue: UnitQueue, jobId: string, token: string): Promise<TakenEntry | undefined> {
  const job = await queue.queue.getJob(jobId)
  const entry = queueEntrySchema.safeParse(job?.data)
  // One that was given back waits for another slot.
  if (!job || !entry.success || !(await job.isActive())) return undefined
  return { units: unitsOf(entry.data), queue, jobId, token, job, isAgain: true }
}

/**
 * The bands of the first `most` entries of each queue that has some, in the order in which they are taken. One round trip,
 * where a script for each queue would be six. `redis` is best a connection that BullMQ does not know: ioredis hangs all of a
 * connection's scripts, BullMQ's sixty, on each pipeline it makes, which took a third of a millisecond.
 */
export async function headBands(redis: Redis, names: string[], most: number): Promise<Map<string, number[]>> {
  const pipeline = redis.pipeline()
  // By their keys: a queue that nobody has put anything into is not opened.
  for (const name of names)
    pipeline
      .llen(`${QUEUE_PREFIX}:${name}:wait`)
      .zrange(`${QUEUE_PREFIX}:${name}:prioritized`, 0, `${most - 1}`, 'WITHSCORES')
  const answers = (await pipeline.exec()) ?? []
  const heads = names.flatMap((name, at) => {
    const bands = [...bandsOfWaiting(answers[2 * at]?.[1]), ...bandsOfRanked(answers[2 * at + 1]?.[1])].slice(0, most)
    return bands.length > 0 ? [[name, bands] as const] : []
  })
  return new Map(heads)
}

/** BullMQ takes from `wait`, where units without a priority are, before it looks into `prioritized`. */
function bandsOfWaiting(count: unknown): number[] {
  return typeof count === 'number' ? Array.from({ length: Math.min(count, MOST_LOOKED_AT) }, () => 0) : []
}

/** Pairs of member and score, or one list of both, by the version of Redis's protocol. */
function bandsOfRanked(members: unknown): number[] {
  if (!Array.isArray(members)) return []
  const scores = members.flat().filter((_, at) => at % 2 === 1)
  return scores.map(score => bandOf(Math.floor(Number(score) / SCORES_PER_PRIORITY)))
}

/**
 * Renews the locks of taken entries; answers those that are lost to another. A lock that ran out while Redis or this
 * process was away, with nobody else having taken the entry, is taken again.
 */
export async function extendLocks(taken: TakenEntry[]): Promise<TakenEntry[]> {
  const lost: TakenEntry[] = []
  for (const [queue, held] of Map.groupBy(taken, one => one.queue)) {
    const jobIds = held.map(one => one.jobId)
    const tokens = held.map(one => one.token)
    const expired = new Set(await queue.taker.extendJobLocks(jobIds, tokens, LOCK_MS))
    for (const one of held.filter(({ jobId }) => expired.has(jobId))) {
      const lockKey = `${queue.taker.toKey(one.jobId)}:lock`
      if ((await queue.redis.set(lockKey, one.token, 'PX', LOCK_MS, 'NX')) === null) lost.push(one)
    }
  }
  return lost
}

/** Takes the entry out of Redis. Throws when the lock is lost: then the master decides about its units. */
export async function release({ job, token }: TakenEntry): Promise<void> {
  await job.moveToCompleted(null, token, false)
}

/** Gives an entry back to the head of its queue, of those of its priority. Throws when the lock is lost. */
export async function giveBack({ job, token }: TakenEntry): Promise<void> {
  await job.moveToWait(token)
}

/**
 * Moves entries whose lock ran out back to waiting, every STALLED_CHECK_MS; run by each master (Redis lets one of them
 * check at a time). One question for all queues finds those of which something is taken: only they are checked.
 * Answers how to stop it.
 */
export function startStalledChecks(
  redis: Redis,
  queues: () => UnitQueue[],
  onStalled: (queue: UnitQueue, jobIds: string[]) => void = () => {},
  onError: (error: unknown) => void = () => {}
): () => Promise<void> {
  const stopping = new AbortController()
  let checkFromMs = 0
  const onReady = (): void => {
    checkFromMs = performance.now() + RECONNECT_GRACE_MS
  }

  async function check(): Promise<void> {
    if (redis.status !== 'ready' || performance.now() < checkFromMs) return
    await Promise.all((await withTaken(redis, queues())).map(one => checkQueue(one).catch(onError)))
  }

  async function checkQueue(queue: UnitQueue): Promise<void> {
    const stalled = await queue.taker.getBackend().moveStalledJobsToWait()
    if (stalled.length > 0) onStalled(queue, stalled)
  }

  async function run(): Promise<void> {
    redis.on('ready', onReady)
    while (!stopping.signal.aborted) {
      await check().catch(onError)
      await pause(STALLED_CHECK_MS, stopping.signal)
    }
    redis.off('ready', onReady)
  }

  const running = run()
  return () => {
    stopping.abort()
    return running
  }
}

async function withTaken(redis: Redis, queues: UnitQueue[]): Promise<UnitQueue[]> {
  if (queues.length === 0) return []
  const pipeline = redis.pipeline()
  for (const { name } of queues) pipeline.exists(`${QUEUE_PREFIX}:${name}:active`)
  const answers = (await pipeline.exec()) ?? []
  return queues.filter((_, at) => answers[at]?.[1] === 1)
}
