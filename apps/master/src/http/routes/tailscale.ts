import { z } from 'zod'
import { keyWarning } from '../../cluster/tailscale/key-expiry.ts'
import { setupState, stepsLeft, thisSystem } from '../../cluster/tailscale/next-step.ts'
import { countPeers } from '../../cluster/tailscale/status.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { setupSchema, tailscalePeersSchema, tailscalePingSchema, tailscaleStatusSchema } from '../cluster-schemas.ts'
import { problems } from '../problem.ts'

const tags = ['cluster']

/** The tailnet as the machine of the master sees it, and what is left to do to be in one. */
export function addTailscale(app: App, { tailnet }: AppDeps): void {
  app.get('/api/cluster/tailscale/status', {
    config: { scope: 'read' },
    schema: {
      summary: 'What Tailscale says of the machine of the master',
      tags,
      response: { 200: tailscaleStatusSchema, ...problems() }
    },
    handler: async () => {
      const status = await tailnet.status()
      const { peers, problems: found, ...rest } = status
      const expiry = keyWarning(status)
      return {
        ...rest,
        ...countPeers(peers),
        warnings: expiry ? [expiry, ...found] : found
      }
    }
  })

  app.get('/api/cluster/tailscale/peers', {
    config: { scope: 'read' },
    schema: {
      summary: 'The other machines of the tailnet',
      description: 'Empty where Tailscale is not running.',
      tags,
      response: { 200: tailscalePeersSchema, ...problems() }
    },
    handler: async () => ({ items: await tailnet.peers(), nextCursor: null })
  })

  app.post('/api/cluster/tailscale/ping/:host', {
    config: { scope: 'read' },
    schema: {
      summary: 'One packet to another machine of the tailnet and back',
      description: 'One that does not answer is no error of the request: `ok` is false then.',
      tags,
      params: z.object({
        host: z
          .string()
          .max(253)
          .regex(/^[\w.:-]+$/)
          .describe('Name, MagicDNS name, address or id of a machine of this tailnet')
      }),
      response: { 200: tailscalePingSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { host } = request.params
      const { peer, ...answer } = await tailnet.ping(host)
      return { host, hostname: peer.dnsName || peer.hostname, ip: peer.ip, ...answer }
    }
  })

  app.get('/api/cluster/setup', {
    config: { scope: 'read' },
    schema: {
      summary: 'The next step towards a cluster over Tailscale',
      description: 'For the state that the machine of the master is in, on each system.',
      tags,
      response: { 200: setupSchema, ...problems() }
    },
    handler: async () => {
      const status = await tailnet.status()
      const state = setupState(status)
      const system = thisSystem(process.platform)
      const steps = {
        linux: stepsLeft(state, 'linux'),
        macos: stepsLeft(state, 'macos'),
        windows: stepsLeft(state, 'windows')
      }
      const [next] = steps[system]
      if (!next) throw new Error(`the state ${state} has no next step`)
      const expiry = keyWarning(status)
      return { state, system, next, steps, warnings: expiry ? [expiry] : [] }
    }
  })
}
