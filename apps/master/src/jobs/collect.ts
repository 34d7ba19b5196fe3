import { pause } from '@sc/shared/pause.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import { type OutboxMessage, outboxMessageSchema } from '@sc/shared/unit.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type ApplyDeps, applySaid } from './apply-said.ts'
import { storable } from './storable.ts'

/**
 * DESIGN. Each worker writes what becomes of its attempts into a stream of its own; the masters read all streams as one
 * consumer group. A batch is applied in one transaction of PostgreSQL, and only then acknowledged and deleted, so a
 * master that is killed in between leaves the batch to be read again, which changes nothing: every message is guarded.
 *
 *   read own pending  ->  claim what a dead master left  ->  read new  ->  apply  ->  acknowledge  ->  …
 *
 * PostgreSQL away: the batch stays pending and is applied when it answers. Redis emptied: groups are made again.
 */
export interface CollectDeps extends ApplyDeps {
  /** A connection of its own: reads block. */
  blockingRedis: Redis
  /** Name of this master in the consumer group; a restarted master of the same name reads what it left. */
  consumer: string
  /** Every enrolled worker. */
  workerIds(): Promise<string[]>
}

interface Entry {
  stream: string
  id: string
  workerId: string
  messages: OutboxMessage[]
}

const GROUP = 'masters'
/** Of entries, each of which has up to 200 messages. */
const BATCH = 20
const BLOCK_MS = 1_000
const CLAIM_IDLE_MS = 5_000
const PAUSE_AFTER_ERROR_MS = 500

export interface Collector {
  /** False while messages wait to be applied: what PostgreSQL says of a unit may be old. */
  isCaughtUp(): boolean
  stop(): Promise<void>
}

export function startCollector(deps: CollectDeps): Collector {
  const stopping = new AbortController()
  let caughtUp = false
  let readPending = true
  let claimedAtMs = 0

  async function round(): Promise<void> {
    const workerIds = await deps.workerIds()
    if (workerIds.length === 0) {
      caughtUp = true
      return await pause(BLOCK_MS, stopping.signal)
    }
    await ensureGroups(deps.redis, workerIds)
    const left = readPending ? await read(deps, workerIds, '0') : await claimNowAndThen(workerIds)
    if (left.length === 0) readPending = false
    const entries = left.length > 0 ? left : await read(deps, workerIds, '>')
    caughtUp = entries.length < BATCH
    if (entries.length > 0) await apply(deps, entries)
  }

  async function claimNowAndThen(workerIds: string[]): Promise<Entry[]> {
    if (performance.now() - claimedAtMs < CLAIM_IDLE_MS) return []
    claimedAtMs = performance.now()
    return await claim(deps, workerIds)
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await round()
      } catch (error) {
        if (stopping.signal.aborted) break
        caughtUp = false
        readPending = true
        deps.log.warn({ err: error }, 'collecting failed; trying again')
        await pause(PAUSE_AFTER_ERROR_MS, stopping.signal)
      }
    }
  })()

  return {
    isCaughtUp: () => caughtUp,
    stop: async () => {
      stopping.abort()
      // Ends a read that blocks.
      deps.blockingRedis.disconnect()
      await running
    }
  }
}

async function ensureGroups(redis: Redis, workerIds: string[]): Promise<void> {
  const pipeline = redis.pipeline()
  for (const id of workerIds) pipeline.xgroup('CREATE', outboxKey(id), GROUP, '0', 'MKSTREAM')
  for (const [error] of (await pipeline.exec()) ?? []) {
    // Full, Redis refuses this before it sees that the group is there; reading and deleting it still does.
    if (error && !/^(BUSYGROUP|OOM)/.test(error.message)) throw error
  }
}

type StreamReply = Array<[stream: string, entries: Array<[id: string, fields: string[] | null]>]> | null

/** `from` `>`: new messages, waiting for them; `0`: those this master read but did not acknowledge. */
async function read(deps: CollectDeps, workerIds: string[], from: '>' | '0'): Promise<Entry[]> {
  const streams = workerIds.map(outboxKey)
  const reply = (await deps.blockingRedis.xreadgroup(
    'GROUP',
    GROUP,
    deps.consumer,
    'COUNT',
    BATCH,
    'BLOCK',
    BLOCK_MS,
    'STREAMS',
    ...streams,
    ...streams.map(() => from)
  )) as StreamReply
  return (reply ?? []).flatMap(([stream, entries]) => toEntries(deps, stream, workerIds, entries))
}

/** What another master read and did not acknowledge for a while. */
async function claim(deps: CollectDeps, workerIds: string[]): Promise<Entry[]> {
  const pipeline = deps.redis.pipeline()
  for (const id of workerIds) {
    pipeline.xautoclaim(outboxKey(id), GROUP, deps.consumer, CLAIM_IDLE_MS, '0', 'COUNT', BATCH)
  }
  const replies = (await pipeline.exec()) ?? []
  return replies.flatMap(([error, reply], at) => {
    if (error) throw error
    const entries = (reply as [string, Array<[string, string[] | null]>])[1]
    return toEntries(deps, outboxKey(workerIds[at] as string), workerIds, entries)
  })
}

function toEntries(
  deps: CollectDeps,
  stream: string,
  workerIds: string[],
  raw: Array<[string, string[] | null]>
): Entry[] {
  const workerId = workerIds.find(id => outboxKey(id) === stream) as string
  return raw.map(([id, fields]) => ({ stream, id, workerId, messages: parse(deps.log, workerId, fields) }))
}

function parse(log: Logger, workerId: string, fields: string[] | null): OutboxMessage[] {
  const text = fields?.[fields.indexOf('m') + 1] ?? ''
  const drop = (error: unknown, what: string): [] => {
    log.warn({ workerId, err: error, text: what.slice(0, 500) }, 'a worker sent a message that is not one; dropped')
    return []
  }
  try {
    return [JSON.parse(text)].flat().flatMap((one: unknown) => {
      try {
        return storable(outboxMessageSchema.parse(one))
      } catch (error) {
        return drop(error, JSON.stringify(one))
      }
    })
  } catch (error) {
    return drop(error, text)
  }
}

async function apply(deps: CollectDeps, entries: Entry[]): Promise<void> {
  const said = entries.flatMap(({ workerId, messages }) => messages.map(message => ({ workerId, message })))
  await applySaid(deps, said)
  const pipeline = deps.redis.pipeline()
  for (const [stream, read] of Map.groupBy(entries, entry => entry.stream)) {
    const ids = read.map(entry => entry.id)
    pipeline.xack(stream, GROUP, ...ids)
    pipeline.xdel(stream, ...ids)
  }
  await pipeline.exec()
}
