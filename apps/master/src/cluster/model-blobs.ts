import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError } from '@sc/shared/errors.ts'
import { filesOfModel, MANIFEST, MODEL_LIST_KEY, type ModelManifest, modelsIn } from '@sc/shared/models.ts'
import { sha256Of } from '@sc/shared/sha256.ts'

/**
 * The models on the master's disk as blobs under `models/`: each is loaded from the hub once and then travels inside the
 * cluster. Only whole models, and of a folder only the files that its manifest names.
 */
export function openModelBlobs(modelsDir: string): Pick<BlobStore, 'size' | 'get'> {
  /** Hashes of files as they are now: the weights take seconds. */
  const hashes = new Map<string, { stamp: string; sha256: Promise<string> }>()

  function hashOf(path: string, stamp: string): Promise<string> {
    const kept = hashes.get(path)
    if (kept?.stamp === stamp) return kept.sha256
    const sha256 = sha256Of(path)
    hashes.set(path, { stamp, sha256 })
    sha256.catch(() => hashes.delete(path))
    return sha256
  }

  async function manifestOf(name: string): Promise<ModelManifest | undefined> {
    const files = await filesOfModel(modelsDir, name)
    if (files.length === 0) return undefined
    const described = files.map(async ({ file, path, sizeBytes, changedMs }) => {
      return { file, sizeBytes, sha256: await hashOf(path, `${sizeBytes} ${changedMs}`) }
    })
    return { name, files: await Promise.all(described) }
  }

  /** A file of the disk, or what is made for the asking. */
  async function find(key: string): Promise<{ path: string; size: number } | Buffer> {
    const [, name = '', file = '', more] = key.split('/')
    if (key === MODEL_LIST_KEY) return toJson({ models: await modelsIn(modelsDir) })
    if (more === undefined && file === MANIFEST) {
      const manifest = await manifestOf(name)
      if (manifest) return toJson(manifest)
    } else if (more === undefined) {
      const found = (await filesOfModel(modelsDir, name)).find(one => one.file === file)
      if (found) return { path: found.path, size: found.sizeBytes }
    }
    throw new ScError('SC_NOT_FOUND', `The master has no ${key.slice(0, 200)} on its disk.`)
  }

  return {
    size: async key => {
      const found = await find(key)
      return Buffer.isBuffer(found) ? found.length : found.size
    },
    get: async (key, { start = 0, end = Number.POSITIVE_INFINITY, signal } = {}) => {
      const found = await find(key)
      if (Buffer.isBuffer(found)) return Readable.from([found.subarray(start, end)])
      if (end <= start) return Readable.from([])
      return createReadStream(found.path, { start, end: end - 1, highWaterMark: 256 * 1024, ...(signal && { signal }) })
    }
  }
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
