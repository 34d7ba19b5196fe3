import type { Topology } from '../../cluster/topology.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { metricsTargetsSchema, topologySchema } from '../cluster-schemas.ts'
import { problems } from '../problem.ts'

const tags = ['cluster']

/** How the machines of the cluster reach each other, and where their figures are. */
export function addTopology(app: App, { config, place }: AppDeps, drawTopology: () => Promise<Topology>): void {
  app.get('/api/cluster/topology', {
    config: { scope: 'read' },
    schema: {
      summary: 'The machines of the cluster, and the ways between them',
      description:
        'Workers, and the other machines of the tailnet. Round trips in a tailnet are measured, at most every 10 s; those of other workers are to Redis, as they say themselves.',
      tags,
      response: { 200: topologySchema, ...problems() }
    },
    handler: async () => await drawTopology()
  })

  app.get('/api/cluster/metrics-targets', {
    config: { scope: 'read' },
    schema: {
      summary: 'Where Prometheus finds the figures',
      description:
        'For `http_sd_configs`. One target, the master: the figures of workers arrive with their heartbeats, and workers open no port.',
      tags,
      response: { 200: metricsTargetsSchema, ...problems() }
    },
    handler: async () => {
      const url = new URL(config.masterUrl ?? place().masterUrl)
      const scheme = url.protocol.replace(':', '')
      const port = url.port || (scheme === 'https' ? '443' : '80')
      return [
        {
          targets: [`${url.hostname}:${port}`],
          labels: { __scheme__: scheme, __metrics_path__: '/metrics', role: 'master' }
        }
      ]
    }
  })
}
