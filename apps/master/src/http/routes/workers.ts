import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { workerListSchema, workerSchema } from '../schemas.ts'

const tags = ['cluster']

/** The machines, as they last described themselves. */
export function addWorkers(app: App, { presence }: AppDeps): void {
  app.get('/api/workers', {
    config: { scope: 'read' },
    schema: { summary: 'Every enrolled worker', tags, response: { 200: workerListSchema, ...problems() } },
    handler: async () => ({ items: presence.workers(), nextCursor: null })
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
      if (worker) return worker
      throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}".`)
    }
  })
}
