import { z } from 'zod'

/** What tailscaled says of itself and of the other machines, in this project's words. */
export interface TailnetPeer {
  id: string
  hostname: string
  /** MagicDNS name, without the dot at its end; empty where there is none. */
  dnsName: string
  ip: string | null
  online: boolean
  os: string
  /** How packets travel now; null: none have lately. */
  direct: boolean | null
  /** The relay it would be reached through. */
  relay: string | null
  curAddr: string | null
  lastSeen: string | null
  rxBytes: number
  txBytes: number
}

export interface TailnetStatus {
  installed: boolean
  /** Logged in and connected. */
  running: boolean
  /** `NeedsLogin`, `Stopped`, `Running`, …; null: no daemon answers. */
  backendState: string | null
  version: string | null
  tailnet: string | null
  selfIp: string | null
  /** All of this machine, of both kinds. */
  selfIps: string[]
  /** Login name of the user that this machine belongs to; null: a tagged machine. */
  owner: string | null
  /** MagicDNS name of this machine, without the dot at its end. */
  selfHostname: string | null
  /** ISO time; null: the key of this machine does not expire. */
  keyExpiry: string | null
  /** What tailscaled itself finds wrong. */
  problems: string[]
  peers: TailnetPeer[]
}

export const NO_TAILNET: TailnetStatus = {
  installed: false,
  running: false,
  backendState: null,
  version: null,
  tailnet: null,
  selfIp: null,
  selfIps: [],
  owner: null,
  selfHostname: null,
  keyExpiry: null,
  problems: [],
  peers: []
}

const machineSchema = z.object({
  ID: z.string().default(''),
  HostName: z.string().default(''),
  DNSName: z.string().default(''),
  OS: z.string().default(''),
  TailscaleIPs: z.array(z.string()).nullish(),
  Online: z.boolean().default(false),
  Active: z.boolean().default(false),
  CurAddr: z.string().default(''),
  Relay: z.string().default(''),
  LastSeen: z.string().nullish(),
  RxBytes: z.number().default(0),
  TxBytes: z.number().default(0),
  KeyExpiry: z.string().nullish(),
  UserID: z.number().nullish(),
  Tags: z.array(z.string()).nullish()
})
type Machine = z.infer<typeof machineSchema>

const statusSchema = z.object({
  Version: z.string().nullish(),
  BackendState: z.string(),
  Self: machineSchema.nullish(),
  Health: z.array(z.string()).nullish(),
  Peer: z.record(z.string(), machineSchema).nullish(),
  User: z.record(z.string(), z.object({ LoginName: z.string() })).nullish(),
  CurrentTailnet: z.object({ Name: z.string() }).nullish()
})

/** Throws when the answer is none that tailscaled gives. */
export function toStatus(answer: unknown): TailnetStatus {
  const { Version, BackendState, Self, Health, Peer, User, CurrentTailnet } = statusSchema.parse(answer)
  const running = BackendState === 'Running'
  return {
    installed: true,
    running,
    backendState: BackendState,
    version: Version?.split('-')[0] ?? null,
    tailnet: CurrentTailnet?.Name ?? null,
    selfIp: running ? (addressOf(Self) ?? null) : null,
    selfIps: running ? (Self?.TailscaleIPs ?? []) : [],
    owner: Self?.Tags?.length ? null : (User?.[`${Self?.UserID}`]?.LoginName ?? null),
    selfHostname: running && Self ? nameOf(Self) : null,
    keyExpiry: Self?.KeyExpiry ?? null,
    problems: Health ?? [],
    peers: running ? Object.values(Peer ?? {}).map(toPeer) : []
  }
}

function toPeer(machine: Machine): TailnetPeer {
  return {
    id: machine.ID,
    hostname: machine.HostName,
    dnsName: withoutDot(machine.DNSName),
    ip: addressOf(machine) ?? null,
    online: machine.Online,
    os: machine.OS,
    // `Relay` is the peer's home region, whether packets pass through it or not.
    direct: machine.CurAddr ? true : machine.Active ? false : null,
    relay: machine.Relay || null,
    curAddr: machine.CurAddr || null,
    lastSeen: isTime(machine.LastSeen) ? machine.LastSeen : null,
    rxBytes: machine.RxBytes,
    txBytes: machine.TxBytes
  }
}

/** Go's zero time stands for "never". */
function isTime(text: string | null | undefined): text is string {
  return Boolean(text) && !text?.startsWith('0001-')
}

/** The IPv4 address, where it has one. */
function addressOf(machine: Machine | null | undefined): string | undefined {
  const all = machine?.TailscaleIPs ?? []
  return all.find(ip => !ip.includes(':')) ?? all[0]
}

const withoutDot = (name: string): string => name.replace(/\.$/, '')
const nameOf = (machine: Machine): string => withoutDot(machine.DNSName) || machine.HostName

/** The machine of the tailnet that is meant by a name, a MagicDNS name, an address or an id. */
export function findPeer(peers: TailnetPeer[], host: string): TailnetPeer | undefined {
  const wanted = withoutDot(host.toLowerCase())
  const names = ({ id, ip, dnsName }: TailnetPeer) => [id.toLowerCase(), ip, dnsName, dnsName.split('.')[0]]
  return (
    peers.find(peer => names(peer).includes(wanted)) ?? peers.find(({ hostname }) => hostname.toLowerCase() === wanted)
  )
}

export function countPeers(peers: TailnetPeer[]): { peerCount: number; onlinePeers: number } {
  return { peerCount: peers.length, onlinePeers: peers.filter(({ online }) => online).length }
}
