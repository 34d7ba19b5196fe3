import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'

/** Figures for Prometheus, and the time that each request took. */
export function addMetrics(app: App, { metrics, db, presence }: AppDeps): void {
  metrics.watch({ db, workers: presence.workers })

  app.addHook('onResponse', async (request, reply) => {
    // The route, not the address: as many figures as there are routes, whatever clients ask for.
    const route = request.routeOptions.url ?? 'none'
    metrics.requestFinished(request.method, route, reply.statusCode, reply.elapsedTime / 1000)
  })

  app.get('/metrics', {
    config: { scope: 'metrics' },
    schema: {
      summary: 'Figures of the master and of every worker, for Prometheus',
      tags: ['health'],
      response: {
        200: { description: 'Prometheus text', content: { 'text/plain': { schema: z.string() } } },
        ...problems()
      }
    },
    handler: async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text())
  })
}
