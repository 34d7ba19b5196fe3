import { openFolder } from './folder.ts'
import type { BlobStore } from './store.ts'

/** Azure when there is a connection string, else files below `folder`. */
export async function openBlobs(where: {
  azureConnectionString: string | undefined
  folder: string
}): Promise<BlobStore> {
  if (!where.azureConnectionString) return openFolder(where.folder)
  // 150 ms and 20 MB that only its users pay for.
  const { openAzure } = await import('./azure.ts')
  return openAzure(where.azureConnectionString)
}
