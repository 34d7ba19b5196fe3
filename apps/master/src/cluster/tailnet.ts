import { ScError } from '@sc/shared/errors.ts'
import { openTailscale } from '@sc/shared/tailscale/ask.ts'
import { failedPing, type TailnetPing, toPing } from '@sc/shared/tailscale/ping.ts'
import type { Logger } from 'pino'
import { findPeer, NO_TAILNET, type TailnetPeer, type TailnetStatus, toStatus } from './tailscale/status.ts'
import { type TailnetIdentity, toIdentity } from './tailscale/whois.ts'

/**
 * The tailnet as this machine sees it: asked by tailscaled's socket, else by the `tailscale` command. Without
 * Tailscale it says so; nothing here throws for that.
 */
export interface Tailnet {
  /** At most KEPT_MS old. */
  status(): Promise<TailnetStatus>
  peers(): Promise<TailnetPeer[]>
  /** `host` is a name, address or id of a machine of this tailnet; anything else is SC_NOT_FOUND. */
  ping(host: string): Promise<TailnetPing & { peer: TailnetPeer }>
  /** Null: nobody of this tailnet has that address, or Tailscale is not running. */
  whois(address: string): Promise<TailnetIdentity | null>
}

/** Asked by each look at the dashboard: a question every time would be too many. */
const KEPT_MS = 2_000

/** `socket` and `sockets` as in `openTailscale`. */
export function openTailnet(deps: { socket?: string | undefined; sockets?: string[]; log: Logger }): Tailnet {
  const { log } = deps
  const ask = openTailscale(deps)
  let kept: { status: Promise<TailnetStatus>; untilMs: number } | undefined

  async function read(): Promise<TailnetStatus> {
    try {
      const answer = await ask(daemon => daemon.status())
      return answer === undefined ? NO_TAILNET : toStatus(answer)
    } catch (error) {
      log.debug({ err: error }, 'tailscaled gave no status')
      return { ...NO_TAILNET, installed: true }
    }
  }

  const status = (): Promise<TailnetStatus> => {
    if (!kept || kept.untilMs < performance.now()) kept = { status: read(), untilMs: performance.now() + KEPT_MS }
    return kept.status
  }

  return {
    status,
    peers: async () => (await status()).peers,
    ping: async host => {
      const { running, peers, selfIp, selfHostname } = await status()
      if (!running) throw new ScError('SC_UNAVAILABLE', 'Tailscale is not running on the machine of the master.')
      const peer = findPeer(peers, host)
      if (!peer?.ip) {
        const isSelf = host === selfIp || host === selfHostname || host === selfHostname?.split('.')[0]
        throw new ScError(
          'SC_NOT_FOUND',
          isSelf ? `"${host}" is the machine of the master itself.` : `There is no "${host}" in this tailnet.`
        )
      }
      const { ip } = peer
      const answer = await ask(daemon => daemon.ping(ip)).then(
        found => (found ? toPing(found) : failedPing('tailscaled does not answer')),
        error => failedPing(isTimeout(error) ? 'no answer within 3 s' : (error as Error).message)
      )
      return { ...answer, peer }
    },
    whois: async address => {
      if (!/^[\da-f.:[\]]+$/i.test(address)) return null
      return toIdentity(await ask(daemon => daemon.whois(address)).catch(() => null))
    }
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')
}
