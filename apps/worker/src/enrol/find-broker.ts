import { dirname, resolve } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { type DataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { JOIN_USER } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Identity } from './identity.ts'

/** `own`: as this worker; `code`: by a join code; `ordinary`: as anybody who has the password. */
export interface Login {
  url: string
  kind: 'own' | 'code' | 'ordinary'
}

/**
 * The address of Redis with a login: what is configured, else the broker that this worker was once enrolled at, else the
 * master of this machine. A join code of a broker at which this worker was enrolled is left alone: the line that let it in
 * may be given again.
 */
export function findLogin(config: Config, dir: DataDir, identity: Identity | undefined): Login {
  const { broker } = config
  const code = broker !== undefined && JOIN_USER.test(new URL(broker).username) ? broker : undefined
  const own = ownLogin(identity)
  if (own && (!broker || (code && withoutLogin(code) === withoutLogin(own)))) return { url: own, kind: 'own' }
  if (code) return { url: code, kind: 'code' }
  const url = broker ?? identity?.broker ?? readMasterFile(dir)?.redisUrl
  if (url) return { url, kind: 'ordinary' }
  throw new ScError(
    'SC_CONFIG',
    `There is no master in ${resolve(dirname(dir.master))}: start one there (pnpm start:master), or give --broker as \`sc join\` on the machine of the master prints it.`
  )
}

export function findBroker(config: Config, dir: DataDir, identity: Identity | undefined): string {
  return findLogin(config, dir, identity).url
}

export function withLogin(broker: string, user: string, secret: string): string {
  const url = new URL(broker)
  url.username = user
  url.password = secret
  return url.href
}

export function withoutLogin(broker: string): string {
  return withLogin(broker, '', '')
}

function ownLogin(identity: Identity | undefined): string | undefined {
  if (!identity?.secret || !identity.broker) return undefined
  return withLogin(identity.broker, identity.workerId, identity.secret)
}
