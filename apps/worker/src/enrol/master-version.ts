import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { HOW_TO_UPDATE, isNewer, olderSide } from '@sc/shared/versions.ts'
import { WORKER_VERSION } from '../probe/version.ts'

const LOOK_EVERY_MS = 1_000

/** Undefined: the two speak the same. */
export function protocolError(protocol: string): ScError | undefined {
  if (Number(protocol) === PROTOCOL_VERSION) return undefined
  const older = olderSide(Number(protocol), PROTOCOL_VERSION)
  return new ScError(
    'SC_PROTOCOL_VERSION',
    `The master speaks protocol ${protocol} and this worker ${PROTOCOL_VERSION}: update ${older}: ${HOW_TO_UPDATE}.`
  )
}

export interface FollowedMaster {
  /** Aborts, with `protocolError` as its reason, when the master came back with another protocol. */
  signal: AbortSignal
  stop(): Promise<void>
}

/** The master may be updated while this worker runs: says once when it is newer. */
export function followMaster(redis: Redis, log: Logger): FollowedMaster {
  const outdated = new AbortController()
  const stopping = new AbortController()
  let told = ''

  async function look(): Promise<void> {
    const [protocol, version] = await redis.hmget(MASTER_KEY, 'protocol', 'version')
    const error = protocol ? protocolError(protocol) : undefined
    if (error) outdated.abort(error)
    if (!version || version === told || !isNewer(version, WORKER_VERSION)) return
    told = version
    log.warn(`The master is version ${version} and this worker ${WORKER_VERSION}. To update it: ${HOW_TO_UPDATE}`)
  }

  const running = (async () => {
    while (!stopping.signal.aborted && !outdated.signal.aborted) {
      if (redis.status === 'ready')
        await look().catch(error => log.debug({ err: error }, 'Looking for the master failed'))
      await pause(LOOK_EVERY_MS, stopping.signal)
    }
  })()
  return {
    signal: outdated.signal,
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
