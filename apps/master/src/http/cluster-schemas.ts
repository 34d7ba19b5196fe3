import { findingSchema } from '@sc/shared/doctor/finding.ts'
import { gpuSchema } from '@sc/shared/presence.ts'
import { z } from 'zod'
import { named, time } from './schemas.ts'

/** What the routes of the cluster's network answer with. */
const direct = z.boolean().nullable().describe('False: through a relay. Null: not known')
const rttMs = z.number().nullable().describe('There and back')
const warnings = z
  .array(z.string())
  .describe('Sentences for the user, such as that the key of this machine expires soon')

export const tailscaleStatusSchema = named(
  'TailscaleStatus',
  z.object({
    installed: z.boolean(),
    running: z.boolean().describe('Logged in and connected'),
    backendState: z.string().nullable().describe('As tailscaled names it; null: it does not answer'),
    version: z.string().nullable(),
    tailnet: z.string().nullable(),
    selfIp: z.string().nullable(),
    selfHostname: z.string().nullable().describe('MagicDNS name'),
    keyExpiry: time.nullable().describe('Null: the key of this machine does not expire'),
    peerCount: z.int(),
    onlinePeers: z.int(),
    warnings
  })
)

export const tailscalePeerSchema = named(
  'TailscalePeer',
  z.object({
    id: z.string(),
    hostname: z.string(),
    dnsName: z.string(),
    ip: z.string().nullable(),
    online: z.boolean(),
    os: z.string(),
    direct,
    relay: z.string().nullable().describe('The relay of its region, used where there is no direct way'),
    curAddr: z.string().nullable(),
    lastSeen: time.nullable(),
    rxBytes: z.number(),
    txBytes: z.number()
  })
)
export const tailscalePeersSchema = z.object({ items: z.array(tailscalePeerSchema), nextCursor: z.null() })

export const tailscalePingSchema = named(
  'TailscalePing',
  z.object({
    host: z.string(),
    hostname: z.string(),
    ip: z.string().nullable(),
    ok: z.boolean(),
    rttMs,
    direct,
    relay: z.string().nullable(),
    endpoint: z.string().nullable().describe('Where its packets come from, on a direct way'),
    error: z.string().nullable()
  })
)

const stepSchema = z.object({
  title: z.string(),
  detail: z.string(),
  command: z.string().nullable(),
  url: z.string().nullable()
})
const stepsSchema = z.array(stepSchema)

export const setupSchema = named(
  'ClusterSetup',
  z.object({
    state: z.enum(['missing', 'stopped', 'logged-out', 'unapproved', 'starting', 'up']),
    system: z.enum(['linux', 'macos', 'windows']).describe('Of the machine of the master'),
    next: stepSchema,
    steps: z
      .object({ linux: stepsSchema, macos: stepsSchema, windows: stepsSchema })
      .describe('What is left to do from this state on, the next first, for each system'),
    warnings
  })
)

export const topologySchema = named(
  'Topology',
  z.object({
    nodes: z.array(
      z.object({
        id: z.string(),
        type: z.enum(['master', 'worker', 'peer']),
        name: z.string(),
        hostname: z.string(),
        ip: z.string().nullable(),
        online: z.boolean(),
        os: z.string(),
        gpus: z.array(gpuSchema),
        queues: z.array(z.string())
      })
    ),
    edges: z.array(
      z.object({
        from: z.string(),
        to: z.string(),
        type: z.enum(['local', 'lan', 'tailscale']).describe('`local`: the same machine'),
        direct,
        relay: z.string().nullable(),
        rttMs
      })
    ),
    stats: z.object({
      nodes: z.int(),
      online: z.int(),
      workers: z.int(),
      peers: z.int(),
      gpus: z.int(),
      direct: z.int(),
      relayed: z.int()
    })
  })
)

export const doctorSchema = named(
  'Doctor',
  z.object({ items: z.array(named('Finding', findingSchema)), checkedAt: time })
)

export const metricsTargetsSchema = named(
  'MetricsTargets',
  z.array(z.object({ targets: z.array(z.string()), labels: z.record(z.string(), z.string()) }))
)
