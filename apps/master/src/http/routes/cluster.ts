import { hostname, networkInterfaces } from 'node:os'
import { addressOfThis } from '../../cluster/own-address.ts'
import { countPeers } from '../../cluster/tailscale/status.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { checkAll } from '../health-checks.ts'
import { problems } from '../problem.ts'
import { clusterInfoSchema, healthSchema } from '../schemas.ts'

const tags = ['cluster']

/** What the cluster is, and whether its parts answer. */
export function addCluster(app: App, deps: AppDeps): void {
  const { config, place, tailnet, version } = deps

  app.get('/api/cluster/info', {
    // Shows nobody's jobs, and is how a client learns whether its key is good and which version is here.
    config: { scope: 'read', own: true },
    schema: { summary: 'What this cluster is', tags, response: { 200: clusterInfoSchema, ...problems() } },
    handler: async () => {
      const { running, installed, tailnet: name, selfIp, selfHostname, peers } = await tailnet.status()
      return {
        mode: place().mode,
        role: 'master' as const,
        masterUrl: config.masterUrl ?? place().masterUrl,
        brokerUrl: place().brokerUrl,
        tailscale: {
          enabled: running,
          installed,
          tailnet: name,
          selfIp,
          selfHostname,
          ...countPeers(peers)
        },
        local: { hostname: hostname(), ip: addressOfThis(networkInterfaces()) },
        version
      }
    }
  })

  app.get('/api/cluster/health', {
    config: { scope: 'read' },
    schema: {
      summary: 'Whether the parts of the cluster answer',
      description: 'Each part is really asked, with a limit of 3 s.',
      tags,
      response: { 200: healthSchema, ...problems() }
    },
    handler: async () => {
      const checks = await checkAll(deps)
      const failing = Object.values(checks).some(({ status }) => status === 'failing')
      return { status: failing ? ('degraded' as const) : ('healthy' as const), checks }
    }
  })
}
