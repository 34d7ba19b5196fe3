import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { WorkerRow } from '../../cluster/presence.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { workerListSchema, workerSchema } from '../schemas.ts'

const tags = ['cluster']

/** The machines, as they last described themselves. */
export function addWorkers(app: App, { presence, tailnet }: AppDeps): void {
  /** A worker knows its address in the tailnet; the name that goes with it is known here. */
  async function withTailnetNames(workers: WorkerRow[]): Promise<WorkerRow[]> {
    if (!workers.some(({ tailscale }) => tailscale)) return workers
    const { peers, selfIp, selfHostname } = await tailnet.status()
    const names = new Map([[selfIp, selfHostname], ...peers.map(({ ip, dnsName }) => [ip, dnsName] as const)])
    return workers.map(worker => {
      const hostname = worker.tailscale && names.get(worker.tailscale.ip)
      return hostname ? { ...worker, tailscale: { ip: worker.tailscale?.ip ?? '', hostname } } : worker
    })
  }

  app.get('/api/workers', {
    config: { scope: 'read' },
    schema: { summary: 'Every enrolled worker', tags, response: { 200: workerListSchema, ...problems() } },
    handler: async () => ({ items: await withTailnetNames(presence.workers()), nextCursor: null })
  })

  app.get('/api/workers/:workerId', {
    config: { scope: 'read' },
    schema: {
      summary: 'One worker',
      tags,
      params: z.object({ workerId: z.string().max(100) }),
      response: { 200: workerSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { workerId } = request.params
      const worker = presence.workers().find(({ id }) => id === workerId)
      const [named] = await withTailnetNames(worker ? [worker] : [])
      if (named) return named
      throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}".`)
    }
  })
}
