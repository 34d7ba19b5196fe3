import { withoutSecrets } from '@sc/shared/log.ts'
import { PREFIX } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import { isAlmostFull, largestKeys, type RedisMemory, readMemory } from './redis-memory.ts'
import type { Trouble } from './redis-trouble.ts'

/** One look at Redis: whether it answers, writes, and has room. Never throws; waits as long as no answer comes. */
export interface Look {
  trouble: Trouble | null
  /** Null: it did not say. */
  memory: RedisMemory | null
  /** A script did not end and was ended. */
  hasEndedScript: boolean
}

const WATCH_KEY = `${PREFIX}:watch`
const KEPT_MS = 60_000

export async function lookAtRedis(redis: Redis): Promise<Look> {
  const [ping, write, memory] = await Promise.all([
    redis.ping().then(() => null, messageOf),
    redis.set(WATCH_KEY, '1', 'PX', KEPT_MS).then(() => null, messageOf),
    readMemory(redis).catch(() => null)
  ])
  const refusal = ping ?? write
  const look = { trouble: null, memory, hasEndedScript: false }
  // It reads its data, and says when it is done.
  if (refusal?.startsWith('LOADING')) return look
  if (refusal?.startsWith('BUSY')) return { ...look, ...(await endScript(redis)) }
  if (memory && (refusal?.startsWith('OOM') || isAlmostFull(memory)))
    return { ...look, trouble: { kind: 'full', memory, largest: await largestKeys(redis).catch(() => []) } }
  return { ...look, trouble: refusal === null ? null : { kind: 'refuses', detail: refusal } }
}

async function endScript(redis: Redis): Promise<Pick<Look, 'trouble' | 'hasEndedScript'>> {
  const answer = await redis.script('KILL').then(() => null, messageOf)
  // A function of FUNCTION LOAD, not a script.
  const last = answer?.includes('FUNCTION KILL') ? await redis.function('KILL').then(() => null, messageOf) : answer
  if (last === null) return { trouble: null, hasEndedScript: true }
  // It ended meanwhile, or another master was faster.
  if (last.startsWith('NOTBUSY')) return { trouble: null, hasEndedScript: false }
  return { trouble: { kind: 'busy', detail: last }, hasEndedScript: false }
}

function messageOf(error: Error): string {
  return withoutSecrets(error.message)
}
