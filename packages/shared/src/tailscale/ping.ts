import { z } from 'zod'

/** One packet to another machine of the tailnet and back. */
export interface TailnetPing {
  ok: boolean
  rttMs: number | null
  /** False: through a relay. */
  direct: boolean | null
  relay: string | null
  endpoint: string | null
  error: string | null
}

const pingSchema = z.object({
  Err: z.string().default(''),
  LatencySeconds: z.number().default(0),
  Endpoint: z.string().default(''),
  PeerRelay: z.string().default(''),
  DERPRegionCode: z.string().default('')
})

export const failedPing = (error: string): TailnetPing => ({
  ok: false,
  rttMs: null,
  direct: null,
  relay: null,
  endpoint: null,
  error
})

/** As LocalAPI answers. */
export function toPing(answer: unknown): TailnetPing {
  const { Err, LatencySeconds, Endpoint, PeerRelay, DERPRegionCode } = pingSchema.parse(answer)
  if (Err) return failedPing(Err)
  return {
    ok: true,
    rttMs: Math.round(LatencySeconds * 1e5) / 100,
    direct: Endpoint !== '',
    relay: DERPRegionCode || PeerRelay || null,
    endpoint: Endpoint || null,
    error: null
  }
}

/** As `tailscale ping` prints: "pong from desk (100.64.0.2) via DERP(fra) in 23ms". */
export function readPong(text: string): TailnetPing {
  const found = /^pong from .* via (\S+) in ([\d.]+)(µs|ms|s)$/m.exec(text)
  if (!found) return failedPing(text.trim().split('\n').at(-1) || 'no answer')
  const [, via = '', amount, unit] = found
  const relay = /^(?:DERP|peer-relay)\((.*)\)$/.exec(via)?.[1] ?? null
  const perUnit = unit === 's' ? 1000 : unit === 'ms' ? 1 : 0.001
  return {
    ok: true,
    rttMs: Number(amount) * perUnit,
    direct: relay === null,
    relay,
    endpoint: relay === null ? via : null,
    error: null
  }
}
