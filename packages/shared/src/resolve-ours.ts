/**
 * What files of the tasks folder import by name without a node_modules of their own: `semantics-cluster`, its `/testing`,
 * and `zod`. Importing this file sets it up, for the processes that load such files and, by `--import`, for the tests of tasks.
 */
import { registerHooks } from 'node:module'

const OURS = new Map([
  ['semantics-cluster', import.meta.resolve('./semantics-cluster.ts')],
  ['semantics-cluster/testing', import.meta.resolve('./task-testing.ts')]
])

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const url = OURS.get(specifier)
    if (url) return { url, shortCircuit: true }
    // Their schemas must be of the zod that reads them. A package of the user's may need another.
    const isZod = specifier === 'zod' || specifier.startsWith('zod/')
    if (!isZod || context.parentURL?.includes('/node_modules/')) return nextResolve(specifier, context)
    return nextResolve(specifier, { ...context, parentURL: import.meta.url })
  }
})
