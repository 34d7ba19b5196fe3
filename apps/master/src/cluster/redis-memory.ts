import type { Redis } from 'ioredis'

export interface RedisMemory {
  usedBytes: number
  /** `maxmemory`; 0: no limit. */
  mostBytes: number
  /** `maxmemory-policy`: what Redis does when it is full. Only `noeviction` loses nothing. */
  policy: string
}

/** Part of `maxmemory` from which on no new work is taken. The rest is for what is under way: outboxes, locks, heads of queues. */
const MOST_OF_REDIS = 0.8
/** From here on any write may be the one that is refused. */
const ALMOST_ALL = 0.98
/** Enough to meet what fills a memory; a look at millions of keys would hold Redis up. */
const SCANS = 20
const KEYS_OF_A_SCAN = 1_000
const NAMED = 3
const LONGEST_NAME = 80

export async function readMemory(redis: Redis): Promise<RedisMemory> {
  const info = await redis.info('memory')
  const read = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? ''
  return { usedBytes: read('used_memory'), mostBytes: read('maxmemory'), policy }
}

export function isAlmostFull({ usedBytes, mostBytes }: RedisMemory): boolean {
  return mostBytes > 0 && usedBytes >= mostBytes * ALMOST_ALL
}

/** Whether new work would take what is left for that under way. */
export function isTight({ usedBytes, mostBytes }: RedisMemory): boolean {
  return mostBytes > 0 && usedBytes >= mostBytes * MOST_OF_REDIS
}

/** Whether Redis would throw keys away, queues and results among them. */
export function mayEvict({ mostBytes, policy }: RedisMemory): boolean {
  return mostBytes > 0 && policy !== '' && policy !== 'noeviction'
}

/** `412 MB of its 512 MB`. */
export function describeMemory({ usedBytes, mostBytes }: RedisMemory): string {
  return `${megabytes(usedBytes)} of its ${megabytes(mostBytes)}`
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`
}

/** The largest of the first keys that a scan meets, such as `junk (480 MB)`. */
export async function largestKeys(redis: Redis): Promise<string[]> {
  const sizes: Array<{ key: string; bytes: number }> = []
  let cursor = '0'
  for (let scan = 0; scan < SCANS; scan++) {
    const [next, keys] = await redis.scan(cursor, 'COUNT', KEYS_OF_A_SCAN)
    const pipeline = redis.pipeline()
    for (const key of keys) pipeline.memory('USAGE', key)
    const answers = (await pipeline.exec()) ?? []
    sizes.push(...keys.map((key, at) => ({ key, bytes: Number(answers[at]?.[1] ?? 0) })))
    cursor = next
    if (cursor === '0') break
  }
  const largest = sizes.sort((a, b) => b.bytes - a.bytes).slice(0, NAMED)
  return largest.map(({ key, bytes }) => `${key.slice(0, LONGEST_NAME)} (${megabytes(bytes)})`)
}
