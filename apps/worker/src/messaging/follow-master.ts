import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { HOW_TO_UPDATE, isNewer, olderSide } from '@sc/shared/versions.ts'
import { WORKER_VERSION } from '../probe/version.ts'
import type { Welcome } from './link.ts'

/** What the master is, as it named itself last. */
export interface FollowedMaster {
  /** Whether it is another than before, or somewhere else. */
  onWelcome(welcome: Welcome): boolean
  /** Where its HTTP is; empty: it has not named itself yet. */
  httpUrl(): Promise<string>
}

/** Undefined: the two speak the same. */
export function protocolError(protocol: number): ScError | undefined {
  if (protocol === PROTOCOL_VERSION) return undefined
  const older = olderSide(protocol, PROTOCOL_VERSION)
  return new ScError(
    'SC_PROTOCOL_VERSION',
    `The master speaks protocol ${protocol} and this worker ${PROTOCOL_VERSION}: update ${older}: ${HOW_TO_UPDATE}.`
  )
}

export interface FollowDeps {
  /** Instead of the address that the master names. */
  masterUrl: string | undefined
  /** The worker is on the master's machine: it need not go by the name that others know it by. */
  isLocal: boolean
  onOtherProtocol?: (error: ScError) => void
  log: Logger
}

/** The master may be updated while this worker runs: says once when it is newer. */
export function followMaster({ masterUrl, isLocal, onOtherProtocol, log }: FollowDeps): FollowedMaster {
  let url = masterUrl ?? ''
  let named = ''
  return {
    httpUrl: async () => url,
    onWelcome: ({ protocol, version, httpUrl, localUrl }) => {
      const error = protocolError(protocol)
      if (error) onOtherProtocol?.(error)
      url = masterUrl ?? (isLocal ? localUrl : httpUrl)
      const now = JSON.stringify([protocol, version, httpUrl])
      if (now === named) return false
      named = now
      if (isNewer(version, WORKER_VERSION))
        log.warn(`The master is version ${version} and this worker ${WORKER_VERSION}. To update it: ${HOW_TO_UPDATE}`)
      return true
    }
  }
}
