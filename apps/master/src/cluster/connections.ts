import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** Redis takes 10,000 clients: below this nobody is short of one. */
const LOOK_ABOVE = 500
/** Of one login. A worker has two, and its doctor a few. */
const MOST_EACH = 32
/** Without a login. */
const MOST_NAMELESS = 100
const NAMELESS_SECONDS = 5
const LOOK_EVERY_MS = 1_000
/** The user of who has not logged in. */
const NAMELESS = 'default'

interface Client {
  id: string
  user: string
  ageSeconds: number
}

/**
 * Ends connections of a login that has far too many, and of those who do not log in: Redis has so many and no more, for all.
 * Logins of workers and join codes only; what the masters' own login does is theirs.
 */
export function watchConnections(deps: {
  redis: Redis
  log: Logger
  onFlood(workerId: string, reason: string): void
}): { stop(): Promise<void> } {
  const { redis, log, onFlood } = deps
  const stopping = new AbortController()

  async function look(): Promise<void> {
    const connected = Number(/connected_clients:(\d+)/.exec(await redis.info('clients'))?.[1] ?? 0)
    if (connected < LOOK_ABOVE) return
    const byUser = Map.groupBy(parse(String(await redis.client('LIST'))), ({ user }) => user)
    for (const [user, clients] of byUser) {
      if (user === NAMELESS) await endNameless(clients)
      else if (/^(w|join)-/.test(user) && clients.length > MOST_EACH) {
        await redis.client('KILL', 'USER', user)
        const reason = `it had ${clients.length} connections to Redis; ${MOST_EACH} are the most`
        log.warn({ user, connections: clients.length }, 'a login had too many connections to Redis: ended')
        if (user.startsWith('w-')) onFlood(user, reason)
      }
    }
  }

  async function endNameless(clients: Client[]): Promise<void> {
    const old = clients.filter(({ ageSeconds }) => ageSeconds >= NAMELESS_SECONDS)
    if (clients.length <= MOST_NAMELESS || old.length === 0) return
    const pipeline = redis.pipeline()
    for (const { id } of old) pipeline.client('KILL', 'ID', id)
    await pipeline.exec()
    log.warn({ connections: old.length }, 'connections to Redis that never logged in: ended')
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (redis.status === 'ready')
        await look().catch(error => log.debug({ err: error }, 'connections were not counted'))
      await pause(LOOK_EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

function parse(list: string): Client[] {
  return list.split('\n').flatMap(line => {
    const field = (name: string): string | undefined => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1]
    const [id, user, age] = [field('id'), field('user'), field('age')]
    return id && user ? [{ id, user, ageSeconds: Number(age) }] : []
  })
}
