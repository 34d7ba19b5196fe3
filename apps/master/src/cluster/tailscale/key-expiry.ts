import { pause } from '@sc/shared/pause.ts'
import type { Logger } from 'pino'
import type { Tailnet } from '../tailnet.ts'
import type { TailnetStatus } from './status.ts'

/** The user is told so long before the key of this machine ends, and with it the cluster's network. */
const WARN_DAYS = 14
const DAY_MS = 86_400_000
const LOOK_EVERY_MS = DAY_MS / 4

/** When the key ends and what to do about it, or null while there is time. */
export function keyEnds({ keyExpiry }: TailnetStatus, nowMs = Date.now()): { found: string; next: string } | null {
  if (keyExpiry === null) return null
  const days = (Date.parse(keyExpiry) - nowMs) / DAY_MS
  if (!(days < WARN_DAYS)) return null
  const next = 'log in again (tailscale up --force-reauth), or disable key expiry for it in the admin console'
  if (days <= 0) return { found: `The Tailscale key of this machine expired on ${dayOf(keyExpiry)}`, next }
  const left = days < 1 ? 'in less than a day' : `in ${Math.floor(days)} ${Math.floor(days) === 1 ? 'day' : 'days'}`
  return { found: `The Tailscale key of this machine expires ${left}, on ${dayOf(keyExpiry)}`, next }
}

/** The same as one sentence. */
export function keyWarning(status: TailnetStatus, nowMs = Date.now()): string | null {
  const ends = keyEnds(status, nowMs)
  return ends && `${ends.found}: ${ends.next}.`
}

const dayOf = (time: string): string => time.slice(0, 10)

/** Says it in the log, at the start and four times a day. */
export function watchKeyExpiry(deps: { tailnet: Tailnet; log: Logger }): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const warning = keyWarning(await deps.tailnet.status())
      if (warning) deps.log.warn(warning)
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
