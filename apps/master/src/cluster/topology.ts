import { hostname, networkInterfaces } from 'node:os'
import type { TailnetPing } from '@sc/shared/tailscale/ping.ts'
import { addressOfThis } from './own-address.ts'
import type { WorkerPresence, WorkerRow } from './presence.ts'
import type { Tailnet } from './tailnet.ts'
import type { TailnetPeer, TailnetStatus } from './tailscale/status.ts'

export interface TopologyNode {
  id: string
  type: 'master' | 'worker' | 'peer'
  name: string
  hostname: string
  ip: string | null
  online: boolean
  os: string
  gpus: WorkerRow['gpus']
  queues: string[]
}

export interface TopologyEdge {
  from: string
  to: string
  /** `local`: the same machine. */
  type: 'local' | 'lan' | 'tailscale'
  /** False: through a relay. Null: not known. */
  direct: boolean | null
  relay: string | null
  rttMs: number | null
}

export interface Topology {
  nodes: TopologyNode[]
  edges: TopologyEdge[]
  stats: {
    nodes: number
    online: number
    workers: number
    peers: number
    gpus: number
    direct: number
    relayed: number
  }
}

interface Master {
  hostname: string
  ip: string
  os: string
}

const MASTER_ID = 'master'
/** More machines are not pinged at once. */
const MOST_PINGS = 32
const KEPT_MS = 10_000

/** Draws the cluster: the master, its workers, the other machines of the tailnet, and how the master reaches each. */
export function createTopology(deps: {
  tailnet: Tailnet
  presence: Pick<WorkerPresence, 'workers'>
}): () => Promise<Topology> {
  const { tailnet, presence } = deps
  const pings = new Map<string, { ping: Promise<TailnetPing | null>; untilMs: number }>()

  function ping(ip: string): Promise<TailnetPing | null> {
    const known = pings.get(ip)
    if (known && known.untilMs > performance.now()) return known.ping
    const asked = tailnet.ping(ip).catch(() => null)
    pings.set(ip, { ping: asked, untilMs: performance.now() + KEPT_MS })
    return asked
  }

  return async () => {
    const workers = presence.workers()
    const master = { hostname: hostname(), ip: addressOfThis(networkInterfaces()), os: process.platform }
    const status = await tailnet.status()
    const online = status.peers.filter(peer => peer.online && peer.ip)
    const pinged = new Map(
      await Promise.all(
        online.slice(0, MOST_PINGS).map(async peer => [peer.id, await ping(peer.ip as string)] as const)
      )
    )
    const peerOf = (worker: WorkerRow): TailnetPeer | undefined =>
      status.peers.find(({ ip }) => ip !== null && (ip === worker.tailscale?.ip || ip === worker.address))
    const edgeTo = (peer: TailnetPeer): Pick<TopologyEdge, 'type' | 'direct' | 'relay' | 'rttMs'> => {
      const answer = pinged.get(peer.id)
      const direct = answer?.ok ? answer.direct : peer.direct
      const relay = direct === false ? (answer?.relay ?? peer.relay) : null
      return { type: 'tailscale', direct, relay, rttMs: answer?.rttMs ?? null }
    }

    const isWorker = new Set(workers.map(worker => peerOf(worker)?.id))
    const others = status.peers.filter(({ id }) => !isWorker.has(id))
    const nodes = [
      masterNode(master, status),
      ...workers.map(worker => workerNode(worker, peerOf(worker))),
      ...others.map(peerNode)
    ]
    const edges: TopologyEdge[] = [
      ...workers
        .filter(worker => worker.status !== 'offline')
        .map(worker => {
          const peer = peerOf(worker)
          const way = peer ? edgeTo(peer) : nearEdge(worker, [master.ip, status.selfIp])
          return { from: worker.id, to: MASTER_ID, ...way, rttMs: way.rttMs ?? worker.brokerRttMs ?? null }
        }),
      ...others.filter(peer => peer.online).map(peer => ({ from: MASTER_ID, to: peer.id, ...edgeTo(peer) }))
    ]
    return {
      nodes,
      edges,
      stats: {
        nodes: nodes.length,
        online: nodes.filter(node => node.online).length,
        workers: workers.length,
        peers: others.length,
        gpus: nodes.reduce((sum, { gpus }) => sum + gpus.length, 0),
        direct: edges.filter(({ direct }) => direct === true).length,
        relayed: edges.filter(({ direct }) => direct === false).length
      }
    }
  }
}

function masterNode({ hostname, ip, os }: Master, status: TailnetStatus): TopologyNode {
  return {
    id: MASTER_ID,
    type: 'master',
    name: 'master',
    hostname: status.selfHostname ?? hostname,
    ip: status.selfIp ?? ip,
    online: true,
    os,
    gpus: [],
    queues: []
  }
}

function workerNode(worker: WorkerRow, peer: TailnetPeer | undefined): TopologyNode {
  const { id, name, status, os, gpus, queues } = worker
  const hostname = peer?.dnsName || worker.hostname
  const ip = peer?.ip ?? worker.tailscale?.ip ?? worker.address ?? null
  return { id, type: 'worker', name, hostname, ip, online: status !== 'offline', os, gpus, queues }
}

function peerNode({ id, hostname, dnsName, ip, online, os }: TailnetPeer): TopologyNode {
  return { id, type: 'peer', name: hostname, hostname: dnsName || hostname, ip, online, os, gpus: [], queues: [] }
}

/** A worker that is no other machine of the tailnet: on this one, or in the same network. */
function nearEdge(
  { address }: WorkerRow,
  ownIps: (string | null)[]
): Pick<TopologyEdge, 'type' | 'direct' | 'relay' | 'rttMs'> {
  const isLocal = address !== null && (/^(127\.|::1$)/.test(address) || ownIps.includes(address))
  return { type: isLocal ? 'local' : 'lan', direct: true, relay: null, rttMs: null }
}
