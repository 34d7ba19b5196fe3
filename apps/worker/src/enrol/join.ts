import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import type { DataDir } from '@sc/shared/data-dir.ts'
import { joinCodeExpiry } from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { type Enrolment, enrol } from './enrol.ts'
import { findLogin, type Login, withLogin, withoutLogin } from './find-broker.ts'
import { type Identity, readIdentity, writeIdentity } from './identity.ts'

/**
 * DESIGN: the way in. `findLogin` says as whom; whoever comes as something else than itself is given a Redis user of its
 * own, and goes on as that:
 *
 *   own login --> in, with what it has
 *      | refused for REFUSED_MS: revoked; with a new join code at hand, by that
 *   join code -- enrol --> identity.json --> own login --> in
 *   ordinary login -- enrol --> identity.json --> own login, where the master makes users --> in
 */
export interface JoinDeps {
  config: Config
  dir: DataDir
  name: string
  log: Logger
  signal: AbortSignal
}

export interface Joined {
  identity: Enrolment
  brokerUrl: string
  redis: Redis
}

/** A Redis that starts anew may have its users only after a moment. */
export const REFUSED_MS = 10_000
const TRY_AGAIN_MS = 500

export async function joinCluster(deps: JoinDeps): Promise<Joined> {
  const { config, dir, name } = deps
  // Looked up again for each try: a master of this machine that starts anew may have another address.
  let refusedSinceMs: number | undefined
  let isOwnRefused = false
  let isWaiting = false
  for (;;) {
    const known = readIdentity(dir.worker(name))
    const login = findOrWait(deps, isOwnRefused ? undefined : known, known !== undefined)
    if (!login) {
      if (!isWaiting) deps.log.warn('The master of this machine does not run: waiting for it')
      isWaiting = true
      await pause(TRY_AGAIN_MS, deps.signal)
      deps.signal.throwIfAborted()
      continue
    }
    try {
      return await joinAs(deps, login, known)
    } catch (error) {
      deps.signal.throwIfAborted()
      const { code, message } = error instanceof ScError ? error : { code: '', message: '' }
      if (code === 'SC_UNAVAILABLE') deps.log.warn(message)
      else if (code === 'SC_CONFIG' && login.kind === 'code') throw refusedCode(login.url)
      else if ((code === 'SC_CONFIG' || code === 'SC_REVOKED') && login.kind === 'own') {
        refusedSinceMs ??= performance.now()
        isOwnRefused = config.broker !== undefined
        if (!isOwnRefused && (code === 'SC_REVOKED' || performance.now() - refusedSinceMs > REFUSED_MS))
          throw revokedError(deps)
        await pause(TRY_AGAIN_MS, deps.signal)
      } else if (code === 'SC_REVOKED') throw revokedError(deps)
      else throw error
    }
  }
}

/** Undefined: the master of this machine, where this worker was before, is not started yet, as after a boot. */
function findOrWait({ config, dir }: JoinDeps, identity: Identity | undefined, wasThere: boolean): Login | undefined {
  try {
    return findLogin(config, dir, identity)
  } catch (error) {
    if (!wasThere) throw error
    return undefined
  }
}

async function joinAs(deps: JoinDeps, { url, kind }: Login, known: Identity | undefined): Promise<Joined> {
  const { log, signal, name, config } = deps
  if (kind === 'own' && known) return await enter(deps, known, url)
  const redis = connectRedis(url, { name: `worker-${name}-enrol`, restricted: kind === 'code', log })
  try {
    await waitForRedis(redis, { signal })
    const who = { name, hostname: hostname(), workerId: known?.workerId }
    const user = decodeURIComponent(new URL(url).username)
    const secretOfCode = decodeURIComponent(new URL(url).password)
    const code = kind === 'code' ? { user, secret: secretOfCode } : undefined
    const { workerId, key, secret } = await enrol({ redis, log, signal }, who, code)
    const broker = keptBroker(url, config.broker !== undefined || known?.broker !== undefined, secret !== undefined)
    writeIdentity(deps.dir.worker(name), { workerId, key, ...broker, ...(secret && broker.broker ? { secret } : {}) })
    const ownUrl = secret ? withLogin(url, workerId, secret) : url
    return await enter(deps, { workerId, key }, ownUrl)
  } finally {
    await closeRedis(redis)
  }
}

/** What finds the way back: nothing for the master of this machine, else the address, with a login that is not its own. */
function keptBroker(url: string, isGiven: boolean, isOwn: boolean): Pick<Identity, 'broker'> {
  if (!isGiven) return {}
  return { broker: isOwn ? withoutLogin(url) : url }
}

async function enter(
  { name, log, signal }: JoinDeps,
  { workerId, key }: Enrolment,
  brokerUrl: string
): Promise<Joined> {
  const identity = { workerId, key }
  const redis = connectRedis(brokerUrl, { name: `worker-${name}`, restricted: true, log })
  try {
    await waitForRedis(redis, { signal, timeoutMs: REFUSED_MS })
    return { identity, brokerUrl, redis }
  } catch (error) {
    await closeRedis(redis)
    throw error
  }
}

/** Redis does not tell a used code from one that is too old: the code itself says until when it is good. */
function refusedCode(url: string): ScError {
  const until = joinCodeExpiry(new URL(url).username)
  const new_ = 'make another with `sc join` on the master'
  if (until.getTime() < Date.now())
    return new ScError(
      'SC_JOIN_CODE_EXPIRED',
      `This join code was good until ${until.toISOString()}, and it is ${new Date().toISOString()} on this machine: ${new_}.`
    )
  return new ScError(
    'SC_JOIN_CODE_USED',
    `This join code was used already, or belongs to another master; it is good for one worker: ${new_}.`
  )
}

export function revokedError({ dir, name }: Pick<JoinDeps, 'dir' | 'name'>): ScError {
  const file = join(dir.worker(name), 'identity.json')
  return new ScError(
    'SC_REVOKED',
    `This worker was revoked, or quarantined for what it wrote: the master refuses its login. \`sc doctor\` says which. To join anew, delete ${file} and use a new join code (\`sc join\`).`
  )
}
