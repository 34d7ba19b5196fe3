import { execa } from 'execa'
import { z } from 'zod'

/** The one file that asks tailscale, by its command line. */
export interface Tailnet {
  readonly installed: boolean
  readonly running: boolean
  readonly enabled: boolean
  readonly tailnet: string | null
  readonly selfIp: string | null
  readonly selfHostname: string | null
  readonly peerCount: number
  readonly onlinePeers: number
}

const NOTHING = {
  running: false,
  enabled: false,
  tailnet: null,
  selfIp: null,
  selfHostname: null,
  peerCount: 0,
  onlinePeers: 0
}
const LIMIT_MS = 2_000
/** Asked by each look at the dashboard: a process every time would be too many. */
const KEPT_MS = 5_000

const machine = z.object({
  HostName: z.string(),
  TailscaleIPs: z.array(z.string()).nullish(),
  Online: z.boolean().optional()
})
const statusSchema = z.object({
  BackendState: z.string(),
  Self: machine.nullish(),
  Peer: z.record(z.string(), machine).nullish(),
  CurrentTailnet: z.object({ Name: z.string() }).nullish()
})

let kept: { tailnet: Promise<Tailnet>; untilMs: number } | undefined

export function readTailnet(): Promise<Tailnet> {
  if (!kept || kept.untilMs < performance.now()) kept = { tailnet: ask(), untilMs: performance.now() + KEPT_MS }
  return kept.tailnet
}

async function ask(): Promise<Tailnet> {
  const answer = await execa('tailscale', ['status', '--json'], { timeout: LIMIT_MS, reject: false, stdin: 'ignore' })
  if (answer.code === 'ENOENT') return { ...NOTHING, installed: false }
  const status = statusSchema.safeParse(parseJson(answer.stdout))
  if (!status.success || status.data.BackendState !== 'Running') return { ...NOTHING, installed: true }
  const { Self, Peer, CurrentTailnet } = status.data
  const peers = Object.values(Peer ?? {})
  return {
    installed: true,
    running: true,
    enabled: true,
    tailnet: CurrentTailnet?.Name ?? null,
    selfIp: Self?.TailscaleIPs?.[0] ?? null,
    selfHostname: Self?.HostName ?? null,
    peerCount: peers.length,
    onlinePeers: peers.filter(({ Online }) => Online).length
  }
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '')
  } catch {
    return undefined
  }
}
