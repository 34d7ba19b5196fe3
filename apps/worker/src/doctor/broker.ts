import type { Config } from '@sc/shared/config.ts'
import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import { checkPath, checkReach, targetOf } from '@sc/shared/doctor/network.ts'
import { connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { HOW_TO_UPDATE, isNewer, olderSide } from '@sc/shared/versions.ts'
import type { KnownMaster } from '../messaging/known-master.ts'
import { WORKER_VERSION } from '../probe/version.ts'

/** The way to Redis, and what the master says of itself there. */
const ANSWER_MS = 5_000

/** A connection for the rest of the checks; the caller closes it. */
export interface Broker {
  url: string
  redis: Redis
}

export function connectToBroker(url: string): Broker {
  return { url, redis: connectRedis(url, { name: 'worker-doctor', restricted: true }) }
}

export function checkBroker({ url, redis }: Broker): Check[] {
  return [
    ...checkReach(targetOf('broker', url)),
    {
      name: 'broker: login',
      look: async () => {
        await waitForRedis(redis, { timeoutMs: ANSWER_MS })
        return ok(`${redis.options.host}:${redis.options.port} takes ${redis.options.username || 'the default user'}`)
      },
      next: 'Look whether the master runs. If its Redis refuses the login, the worker was revoked, or the address is an old one.'
    }
  ]
}

/**
 * `masterUrl`: instead of the address that the master names. `known`: as it named itself to this worker last, whose own login
 * may not read what the master publishes.
 */
export async function checkMaster(
  { redis }: Broker,
  { masterUrl, tailscaleSocket }: Pick<Config, 'masterUrl' | 'tailscaleSocket'>,
  known: KnownMaster | undefined
): Promise<Check[]> {
  const published = redis.status === 'ready' ? await redis.hgetall(MASTER_KEY).catch(() => ({})) : {}
  const { protocol, version, httpUrl } = { ...known, ...published } as Partial<Record<string, string>>
  const versions: Check = {
    name: 'master: version',
    look: async () => versionOutcome({ protocol, version }),
    next: 'Start the master, and look at its log.'
  }
  const url = masterUrl ?? httpUrl
  if (!url) return [versions]
  const target = targetOf('master', url)
  return [versions, ...checkReach(target), ...checkPath(target, url, tailscaleSocket)]
}

export function versionOutcome(
  master: { protocol?: string | undefined; version?: string | undefined },
  own = { protocol: PROTOCOL_VERSION, version: WORKER_VERSION }
): Outcome {
  const { protocol, version = 'unknown' } = master
  if (!protocol)
    return failed(
      'no master has named itself to this worker',
      'Start the master (`pnpm start:master`), or wait for it.'
    )
  const found = `the master is ${version} with protocol ${protocol}, this worker ${own.version} with ${own.protocol}`
  if (Number(protocol) !== own.protocol) {
    return failed(found, `Update ${olderSide(Number(protocol), own.protocol)}: ${HOW_TO_UPDATE}.`)
  }
  if (isNewer(version, own.version)) return warning(found, `Update this worker: ${HOW_TO_UPDATE}.`)
  return isNewer(own.version, version) ? warning(found, `Update the master: ${HOW_TO_UPDATE}.`) : ok(found)
}
