import { hostname } from 'node:os'
import { askDisk } from '@sc/shared/ask-disk.ts'
import { type Model, modelsIn } from '@sc/shared/models.ts'
import type { WorkerRow } from './presence.ts'

/** A speech model, and who has it on its disk. */
export interface ListedModel extends Model {
  nodes: Array<{ id: string; name: string; type: 'master' | 'worker'; status: WorkerRow['status'] }>
}

/** By name. `modelsDir`: the master's; SC_UNAVAILABLE when its disk does not answer. */
export async function listModels(modelsDir: string, workers: WorkerRow[]): Promise<ListedModel[]> {
  const master = { id: 'master', name: hostname(), type: 'master' as const, status: 'online' as const }
  const found = [
    ...(await askDisk('models', modelsDir, () => modelsIn(modelsDir))).map(model => ({ ...model, node: master })),
    ...workers.flatMap(({ id, name, status, models }) =>
      models.map(model => ({ ...model, node: { id, name, type: 'worker' as const, status } }))
    )
  ]
  const items = [...Map.groupBy(found, ({ name }) => name)].map(([name, same]) => ({
    name,
    sizeBytes: same[0]?.sizeBytes ?? 0,
    nodes: same.map(({ node }) => node)
  }))
  return items.sort((a, b) => (a.name < b.name ? -1 : 1))
}
