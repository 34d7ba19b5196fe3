import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { setDraining } from '../../cluster/drain.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { workerSchema } from '../schemas.ts'

const ORDERS = {
  drain: {
    draining: true,
    summary: 'Let a worker take no more units',
    description: 'What it runs goes on to its end. It holds until it is resumed, also over a restart of the worker.'
  },
  resume: { draining: false, summary: 'Let a worker take units again', description: 'Ends what `drain` began.' }
} as const

/** Taking a machine out of the cluster for a while. */
export function addDrain(app: App, deps: AppDeps): void {
  for (const [order, { draining, summary, description }] of Object.entries(ORDERS)) {
    app.post(`/api/workers/:workerId/${order}`, {
      config: { scope: 'admin' },
      schema: {
        summary,
        description,
        tags: ['cluster'],
        params: z.object({ workerId: z.string().max(100) }),
        response: { 202: workerSchema, ...problems('SC_NOT_FOUND') }
      },
      handler: async (request, reply) => {
        const { workerId } = request.params
        const worker = await setDraining(deps, workerId, draining)
        if (!worker) throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}".`)
        return reply.status(202).send(worker)
      }
    })
  }
}
