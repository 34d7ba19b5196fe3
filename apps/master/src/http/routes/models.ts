import { hostname } from 'node:os'
import { modelsIn } from '@sc/shared/models.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { modelListSchema } from '../schemas.ts'

type Row = (typeof modelListSchema)['_output']['items'][number]

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
    handler: async () => {
      const master = { id: 'master', name: hostname(), type: 'master' as const, status: 'online' as const }
      const found = [
        ...(await modelsIn(config.modelsDir)).map(model => ({ ...model, node: master })),
        ...presence.workers().flatMap(({ id, name, status, models }) => {
          return models.map(model => ({ ...model, node: { id, name, type: 'worker' as const, status } }))
        })
      ]
      const byName = Map.groupBy(found, ({ name }) => name)
      const items = [...byName].map(([name, same]): Row => {
        return { name, sizeBytes: same[0]?.sizeBytes ?? 0, nodes: same.map(({ node }) => node) }
      })
      return { items: items.sort((a, b) => (a.name < b.name ? -1 : 1)), nextCursor: null }
    }
  })
}
