import { listModels } from '../../cluster/list-models.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { modelListSchema } from '../schemas.ts'

/** Which machine has which speech model on its disk. */
export function addModels(app: App, { config, presence }: AppDeps): void {
  app.get('/api/models', {
    config: { scope: 'read' },
    schema: {
      summary: 'Which node has which speech model',
      description: 'A worker fetches a model that it lacks from the master where that has it, else from the hub.',
      tags: ['cluster'],
      response: { 200: modelListSchema, ...problems() }
    },
    handler: async () => ({ items: await listModels(config.modelsDir, presence.workers()), nextCursor: null })
  })
}
