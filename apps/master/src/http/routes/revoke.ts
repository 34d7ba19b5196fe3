import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'

/** Throwing a machine out of the cluster. */
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
}
