import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { OutboxEntry } from './parse-outbox.ts'

/** Entries of one worker at a time, each of up to 1 MB. */
export const MOST_READ = 8

type StreamReply = Array<[stream: string, entries: Array<[id: string, fields: string[] | null]>]> | null

/** One worker's outbox, from behind this entry. */
export interface Position {
  workerId: string
  after: string
}

/**
 * What the workers wrote behind these positions, at most so many entries each; waits up to `blockMs` for the first. One
 * worker's key that is no stream is put right by itself: it costs the others this one read.
 */
export async function readOutboxes(
  { redis, blocking }: { redis: Redis; blocking: Redis },
  positions: Position[],
  most: number,
  blockMs: number
): Promise<{ read: Array<{ workerId: string; entries: OutboxEntry[] }>; broken: string[] }> {
  const keys = positions.map(({ workerId }) => outboxKey(workerId))
  try {
    const reply = (await blocking.xread(
      'COUNT',
      most,
      'BLOCK',
      blockMs,
      'STREAMS',
      ...keys,
      ...positions.map(({ after }) => after)
    )) as StreamReply
    const read = (reply ?? []).flatMap(([key, entries]) => {
      const at = keys.indexOf(key)
      const workerId = positions[at]?.workerId
      return workerId === undefined ? [] : [{ workerId, entries: entries.map(([id, fields]) => ({ id, fields })) }]
    })
    return { read, broken: [] }
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('WRONGTYPE')) throw error
    return { read: [], broken: await remakeBroken(redis, positions) }
  }
}

async function remakeBroken(redis: Redis, positions: Position[]): Promise<string[]> {
  const pipeline = redis.pipeline()
  for (const { workerId } of positions) pipeline.type(outboxKey(workerId))
  const types = (await pipeline.exec()) ?? []
  const broken = positions.filter((_, at) => !['stream', 'none'].includes(String(types[at]?.[1])))
  if (broken.length > 0) await redis.del(broken.map(({ workerId }) => outboxKey(workerId)))
  return broken.map(({ workerId }) => workerId)
}
