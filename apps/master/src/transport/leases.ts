import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { leaseKey } from '../queues/keys.ts'

/**
 * DESIGN: which master serves which worker: reads its outbox and gives it units. A lease in Redis, renewed every second, that
 * another master may take once it ran out. It only keeps two masters from doing the same work: should both serve a worker
 * for a moment (a master that was frozen, an emptied Redis), the worker returns what one of them gave too much, and a message
 * that is applied twice changes nothing.
 *
 *   free --SET NX--> mine --renew--> mine --not renewed for LEASE_MS--> free, or another's
 */
export interface Leases {
  /** Workers that this master serves. */
  mine(): ReadonlySet<string>
  /** The workers are others than before: looks now. */
  wake(): void
  stop(): Promise<void>
}

export interface LeaseDeps {
  redis: Redis
  /** This master, also after its restart. */
  owner: string
  /** Every worker that is to be served. */
  workerIds(): Promise<string[]>
  onGained(workerId: string): void
  onLost(workerId: string): void
  log: Logger
}

export const LEASE_MS = 4_000
const RENEW_EVERY_MS = 1_000

export function startLeases({ redis, owner, workerIds, onGained, onLost, log }: LeaseDeps): Leases {
  const stopping = new AbortController()
  let woken = new AbortController()
  const mine = new Set<string>()
  let wanted: string[] = []
  let renewedMs = 0

  async function round(): Promise<void> {
    const askedMs = performance.now()
    // PostgreSQL away: those of before, so that what runs goes on.
    wanted = await workerIds().catch(() => wanted)
    const owners = wanted.length > 0 ? await redis.mget(wanted.map(leaseKey)) : []
    const pipeline = redis.pipeline()
    for (const [at, id] of wanted.entries()) {
      if (owners[at] === owner) pipeline.pexpire(leaseKey(id), LEASE_MS)
      else pipeline.set(leaseKey(id), owner, 'PX', LEASE_MS, 'NX')
    }
    const answers = (await pipeline.exec()) ?? []
    const got = wanted.filter((_, at) => answers[at]?.[1] === 1 || answers[at]?.[1] === 'OK')
    renewedMs = askedMs
    change(new Set(got))
  }

  function change(next: Set<string>): void {
    for (const id of [...mine].filter(id => !next.has(id))) {
      mine.delete(id)
      onLost(id)
    }
    for (const id of [...next].filter(id => !mine.has(id))) {
      mine.add(id)
      onGained(id)
    }
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      woken = new AbortController()
      if (redis.status === 'ready')
        await round().catch(error => log.debug({ err: error }, 'renewing leases failed; trying again'))
      await pause(RENEW_EVERY_MS, AbortSignal.any([stopping.signal, woken.signal]))
    }
    // A master that stops leaves its workers to the others at once.
    if (redis.status === 'ready' && mine.size > 0 && performance.now() - renewedMs < LEASE_MS)
      await redis.del([...mine].map(leaseKey)).catch(() => {})
  })()

  return {
    mine: () => mine,
    wake: () => woken.abort(),
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
