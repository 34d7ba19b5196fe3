import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { boundedInt } from './bounded.ts'

/**
 * Speech models as folders of the models folder (`base/model.bin`), and as blobs that a master gives to its workers:
 * `models/NAME/FILE`, with what they must be in `models/NAME/manifest.json`, and which there are in `models/manifest.json`.
 */
export interface Model {
  name: string
  sizeBytes: number
}

/** A folder is a whole model when it has this file: it comes last, or with all others at once. */
const WEIGHTS = 'model.bin'
/** In a key and in a folder: a name from outside is never a path. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/

export const MODELS = 'models/'
export const MANIFEST = 'manifest.json'
export const MODEL_LIST_KEY = `${MODELS}${MANIFEST}`
export const modelKey = (name: string, file: string): string => `${MODELS}${name}/${file}`
export const isModelName = (name: string): boolean => NAME.test(name)

const LARGEST_MODEL_BYTES = 1e15
export const modelSchema = z.object({ name: z.string(), sizeBytes: boundedInt(0, LARGEST_MODEL_BYTES) })
export const modelListSchema = z.object({ models: z.array(modelSchema) })
export const modelManifestSchema = z.object({
  name: z.string(),
  files: z
    .array(
      z.object({
        file: z.string().regex(NAME),
        sizeBytes: z.int().nonnegative(),
        sha256: z.string().regex(/^[0-9a-f]{64}$/)
      })
    )
    .max(100)
})
export type ModelManifest = z.infer<typeof modelManifestSchema>

/** Every whole model of a models folder, by name; none where there is no such folder. */
export async function modelsIn(modelsDir: string): Promise<Model[]> {
  const names = await readdir(modelsDir).catch(() => [])
  const found = await Promise.all(
    names
      .filter(isModelName)
      .sort()
      .map(async name => ({ name, files: await filesOfModel(modelsDir, name) }))
  )
  return found
    .filter(({ files }) => files.length > 0)
    .map(({ name, files }) => ({ name, sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }))
}

export async function hasModel(modelsDir: string, name: string): Promise<boolean> {
  return stat(join(modelsDir, name, WEIGHTS)).then(
    found => found.isFile(),
    () => false
  )
}

/** The files of a model, the weights last; none when it is not whole. */
export async function filesOfModel(
  modelsDir: string,
  name: string
): Promise<Array<{ file: string; path: string; sizeBytes: number; changedMs: number }>> {
  if (!isModelName(name) || !(await hasModel(modelsDir, name))) return []
  const names = (await readdir(join(modelsDir, name))).filter(file => isModelName(file) && file !== MANIFEST)
  const files = await Promise.all(
    names.map(async file => {
      const path = join(modelsDir, name, file)
      const found = await stat(path).catch(() => undefined)
      return found?.isFile() ? [{ file, path, sizeBytes: found.size, changedMs: found.mtimeMs }] : []
    })
  )
  return files.flat().sort((a, b) => a.sizeBytes - b.sizeBytes)
}
