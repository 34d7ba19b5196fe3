import { ScError, toScError } from '@sc/shared/errors.ts'
import { withoutSecrets } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import { keyWarning } from '../cluster/tailscale/key-expiry.ts'
import { countPeers, type TailnetStatus } from '../cluster/tailscale/status.ts'
import type { AppDeps } from './app-deps.ts'

export interface Check {
  status: 'ok' | 'failing' | 'off'
  detail: string | null
  latencyMs: number | null
}

type Core = Pick<AppDeps, 'redis' | 'redisWatch' | 'db' | 'blobs'>
type Parts = Core & Pick<AppDeps, 'presence' | 'tailnet' | 'config'>

const LIMIT_MS = 3_000
const KEPT_MS = 1_000

/** What the master cannot work without. */
export async function checkCore({
  redis,
  redisWatch,
  db,
  blobs
}: Core): Promise<Record<'redis' | 'postgres' | 'blobs', Check>> {
  const [redisCheck, postgres, blobsCheck] = await Promise.all([
    ask('Redis', async () => {
      await redis.ping()
      // It answers, and yet nobody can work with it: full, or no longer writing.
      const trouble = redisWatch.trouble()
      if (trouble !== null) throw new ScError('SC_UNAVAILABLE', `Redis: ${trouble}`)
    }),
    ask('PostgreSQL', async () => await sql`select 1`.execute(db)),
    ask('the blob store', async () => await blobs.check())
  ])
  return { redis: redisCheck, postgres, blobs: blobsCheck }
}

type CoreChecks = Awaited<ReturnType<typeof checkCore>>

/** Anybody may ask, and each look writes a file: all who ask meanwhile share one, and its answer for KEPT_MS. */
export function shareLooks(
  look: () => Promise<CoreChecks>,
  nowMs = () => performance.now()
): () => Promise<CoreChecks> {
  let last: { checks: Promise<CoreChecks>; goodUntilMs: number } | undefined
  return () => {
    if (last && nowMs() < last.goodUntilMs) return last.checks
    const next = { checks: look(), goodUntilMs: Number.POSITIVE_INFINITY }
    const onEnd = (): void => {
      next.goodUntilMs = nowMs() + KEPT_MS
    }
    next.checks.then(onEnd, onEnd)
    last = next
    return next.checks
  }
}

export async function checkAll(
  parts: Parts
): Promise<Record<'redis' | 'postgres' | 'blobs' | 'tailscale' | 'workers', Check>> {
  const [core, tailscale] = await Promise.all([checkCore(parts), checkTailscale(parts)])
  return { ...core, tailscale, workers: checkWorkers(parts) }
}

/** Away, it is a fault only where the cluster was told to be on it. */
async function checkTailscale({ tailnet, config }: Parts): Promise<Check> {
  const startedMs = performance.now()
  const status = await tailnet.status()
  const warning = keyWarning(status)
  const state = describeTailnet(status)
  if (!status.running)
    return {
      status: config.mode === 'tailscale' ? 'failing' : 'off',
      detail: warning ? `${state}; ${warning}` : state,
      latencyMs: null
    }
  return {
    status: 'ok',
    detail: [state, warning, ...status.problems].filter(Boolean).join('; '),
    latencyMs: Math.round((performance.now() - startedMs) * 10) / 10
  }
}

/** Without warnings. */
export function describeTailnet({ running, installed, backendState, peers }: TailnetStatus): string {
  if (!installed) return 'not installed'
  if (!running) return `installed, not running (${backendState ?? 'no answer'})`
  const { onlinePeers, peerCount } = countPeers(peers)
  return `${onlinePeers} of ${peerCount} other machines are online`
}

function checkWorkers({ presence }: Parts): Check {
  const workers = presence.workers()
  const online = workers.filter(({ status }) => status === 'online')
  const broken = online.filter(
    ({ slots }) => slots.length > 0 && slots.every(({ state }) => state === 'out-of-service')
  )
  if (online.length === 0) return { status: 'failing', detail: 'no worker is online: nothing can run', latencyMs: null }
  if (broken.length === online.length)
    return { status: 'failing', detail: 'every slot is out of service', latencyMs: null }
  return { status: 'ok', detail: `${online.length} of ${workers.length} are online`, latencyMs: null }
}

async function ask(what: string, question: () => Promise<unknown>): Promise<Check> {
  const startedMs = performance.now()
  const answered = new AbortController()
  const late = pause(LIMIT_MS, answered.signal).then(() => {
    throw new Error(`${what} did not answer within ${LIMIT_MS / 1000} s`)
  })
  try {
    await Promise.race([question(), late])
    return { status: 'ok', detail: null, latencyMs: Math.round((performance.now() - startedMs) * 10) / 10 }
  } catch (error) {
    return { status: 'failing', detail: withoutSecrets(toScError(error).message), latencyMs: null }
  } finally {
    late.catch(() => {})
    answered.abort()
  }
}
