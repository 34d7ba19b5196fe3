import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'

/** Ending a machine's part in the cluster, and taking one back that was quarantined. */
export function addRevoke(app: App, { access }: Pick<AppDeps, 'access'>): void {
  app.delete('/api/workers/:workerId', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Revoke a worker',
      description: 'Ends it within 5 s, also while it is connected, for good; its units run elsewhere.',
      tags: ['cluster'],
      params: z.object({ workerId: z.string().max(100) }),
      response: { 200: z.object({ id: z.string(), status: z.literal('revoked') }), ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { workerId } = request.params
      if (!(await access.revokeWorker(workerId))) throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}".`)
      return { id: workerId, status: 'revoked' as const }
    }
  })

  app.post('/api/workers/:workerId/forgive', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Take a worker out of quarantine',
      description:
        'A worker that wrote too much that no worker writes is quarantined: its login is off, its keys are gone. This turns the login on again.',
      tags: ['cluster'],
      params: z.object({ workerId: z.string().max(100) }),
      response: { 200: z.object({ id: z.string(), status: z.literal('forgiven') }), ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { workerId } = request.params
      if (!(await access.forgiveWorker(workerId)))
        throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}" in quarantine.`)
      return { id: workerId, status: 'forgiven' as const }
    }
  })
}
