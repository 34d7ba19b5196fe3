import { checkDisk } from '@sc/shared/doctor/disk.ts'
import { type Check, type Finding, lookAt } from '@sc/shared/doctor/finding.ts'
import { checkClock, checkRoundTrip, targetOf } from '@sc/shared/doctor/network.ts'
import { pause } from '@sc/shared/pause.ts'
import { boundFindings } from '@sc/shared/presence.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { checkCards } from '../doctor/machine.ts'
import { checkRights } from '../doctor/rights.ts'
import { untilAborted } from '../until-aborted.ts'

/**
 * What the worker's doctor finds while the worker runs: of its checks those that cost next to nothing, warnings and
 * failures only. `sc-worker doctor` looks at more.
 */
export interface OwnFindings {
  /** As of the last look. */
  now(): Finding[]
  stop(): Promise<void>
}

export interface FindingsDeps {
  redis: Redis
  workerId: string
  brokerUrl: string
  /** The broker is of the master of this machine. */
  isOfThisMachine: boolean
  dataDir: string
  modelsDir: string
  /** Empty: not known yet. */
  httpUrl(): Promise<string>
  onChange(): void
  /** Between two looks at what was wrong. */
  everyMs?: number | undefined
}

const LOOK_EVERY_MS = 20_000
/** One of so many looks, the first included, is at everything: every 5 minutes. */
const LOOKS_AT_ALL = 15

export function watchFindings(deps: FindingsDeps): OwnFindings {
  const { redis, everyMs = LOOK_EVERY_MS } = deps
  const stopping = new AbortController()
  let findings: Finding[] = []
  const isWrong = ({ name }: Check): boolean => findings.some(({ check }) => check === name)

  async function look(isAtAll: boolean): Promise<void> {
    if (!isAtAll && findings.length === 0) return
    const checks = await untilAborted(checksNow(deps), stopping.signal)
    const found: Finding[] = []
    for (const check of isAtAll ? checks : checks.filter(isWrong))
      found.push(await untilAborted(lookAt(check), stopping.signal))
    const before = JSON.stringify(findings)
    findings = boundFindings(found.filter(({ status }) => status !== 'ok'))
    if (JSON.stringify(findings) !== before) deps.onChange()
  }

  const running = (async () => {
    for (let looks = 0; !stopping.signal.aborted; ) {
      // Without Redis nobody would hear of it, and half of the checks would say just that.
      if (redis.status === 'ready') await look(looks++ % LOOKS_AT_ALL === 0).catch(() => {})
      await pause(everyMs, stopping.signal)
    }
  })()

  return {
    now: () => findings,
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

async function checksNow(deps: FindingsDeps): Promise<Check[]> {
  const { redis, workerId, brokerUrl, isOfThisMachine } = deps
  const httpUrl = await deps.httpUrl()
  return [
    ...checkDisk(deps),
    checkCards(),
    checkRoundTrip(targetOf('broker', brokerUrl)),
    ...(httpUrl ? [checkRoundTrip(targetOf('master', httpUrl)), checkClock('master', httpUrl)] : []),
    ...checkRights({ redis, workerId, isOfThisMachine })
  ]
}
