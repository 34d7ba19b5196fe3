import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import { readMemory } from '../cluster/redis-memory.ts'
import type { Database } from '../database/schema.ts'

/**
 * How much of Redis the inputs of units may take: of one queue, and of all together. Who submits chooses how large they are,
 * and a worker how many queues there are, so the number of units bounds nothing.
 */
export interface HeadRoom {
  /** How many bytes the head of a queue may have. `isAwaited`: a slot waits for its first unit. */
  of(queue: string, isAwaited: (queue: string) => boolean): number
  /** The head of a queue has so many now. */
  has(queue: string, bytes: number): void
  /** Queues whose units take much: they are counted anew again and again, since slots empty them. */
  large(): string[]
  /** Counts anew what is no head, and forgets the heads of all queues but these. */
  look(queues: ReadonlySet<string>): Promise<void>
}

const MB = 1024 ** 2
const OF_A_QUEUE = 32 * MB
const OF_ALL = 256 * MB
/** Most of Redis is for what is under way. */
const PART_OF_REDIS = 1 / 4
/** So much a slot gets that waits, however much there is: it takes it at once. */
const AWAITED = 1 * MB
const LARGE = 256 * 1024

export function createHeadRoom({ db, redis }: { db: Database; redis: Redis }): HeadRoom {
  const heads = new Map<string, number>()
  let inHeads = 0
  let running = 0
  let most = OF_ALL

  function has(queue: string, bytes: number): void {
    inHeads += bytes - (heads.get(queue) ?? 0)
    if (bytes > 0) heads.set(queue, bytes)
    else heads.delete(queue)
  }

  return {
    of: (queue, isAwaited) => {
      const others = inHeads - (heads.get(queue) ?? 0) + running
      const left = Math.min(OF_A_QUEUE, most - others)
      return left < AWAITED && isAwaited(queue) ? AWAITED : left
    },
    has,
    large: () => [...heads].flatMap(([queue, bytes]) => (bytes > LARGE ? queue : [])),
    look: async queues => {
      for (const queue of [...heads.keys()]) if (!queues.has(queue)) has(queue, 0)
      const { mostBytes } = await readMemory(redis)
      most = mostBytes > 0 ? Math.min(OF_ALL, PART_OF_REDIS * mostBytes) : OF_ALL
      running = await bytesOfRunning(db)
    }
  }
}

/** They are no head any more, but their entries are in Redis until they end. */
async function bytesOfRunning(db: Database): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(params_bytes), 0)::float8 as bytes from units where status = 'RUNNING'`.execute(db)
  return rows[0]?.bytes ?? 0
}
