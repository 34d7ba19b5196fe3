import { createHash } from 'node:crypto'
import { mkdir, rm, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { ScError } from '@sc/shared/errors.ts'
import { sha256Of } from '@sc/shared/sha256.ts'
import { untilAborted } from '../until-aborted.ts'

const CACHE_BYTES = 1024 ** 3

/** A blob on this machine's disk, kept until `release`. */
export interface CachedBlob {
  path: string
  release(): void
}

export interface BlobCache {
  /**
   * The blob's file, downloaded if it is not here. An abort ends the wait, not the download others may wait for.
   * `sha256`: what it must have; SC_INPUT_UNREADABLE, and it is fetched again the next time.
   */
  use(key: string, signal: AbortSignal, sha256?: string): Promise<CachedBlob>
  close(): Promise<void>
}

interface Entry {
  path: string
  file: Promise<void>
  sizeBytes: number
  users: number
}

/**
 * Files of blobs, the least recently used removed first beyond `maxBytes`. Whatever an earlier process left in `folder`
 * is removed. `download` puts a blob into a file.
 */
export async function openBlobCache(
  folder: string,
  download: (key: string, path: string, signal: AbortSignal) => Promise<void>,
  maxBytes: number = CACHE_BYTES
): Promise<BlobCache> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  /** Ordered by last use. */
  const entries = new Map<string, Entry>()
  const closing = new AbortController()

  function open(key: string, sha256: string | undefined): Entry {
    const kept = entries.get(key)
    if (kept) {
      entries.delete(key)
      entries.set(key, kept)
      return kept
    }
    const path = join(folder, createHash('sha256').update(key).digest('hex').slice(0, 32) + extname(key))
    const entry: Entry = { path, file: Promise.resolve(), sizeBytes: 0, users: 0 }
    entries.set(key, entry)
    entry.file = downloadRight(key, path, sha256).then(
      async () => {
        entry.sizeBytes = (await stat(path)).size
        evict()
      },
      error => {
        entries.delete(key)
        throw error
      }
    )
    entry.file.catch(() => {})
    return entry
  }

  async function downloadRight(key: string, path: string, sha256: string | undefined): Promise<void> {
    await download(key, path, closing.signal)
    if (sha256 === undefined || (await sha256Of(path, closing.signal)) === sha256) return
    await rm(path, { force: true })
    throw new ScError('SC_INPUT_UNREADABLE', 'What came of the input is not what the master stored.')
  }

  function evict(): void {
    let bytes = 0
    for (const entry of entries.values()) bytes += entry.sizeBytes
    for (const [key, entry] of entries) {
      if (bytes <= maxBytes) return
      if (entry.users > 0 || entry.sizeBytes === 0) continue
      bytes -= entry.sizeBytes
      entries.delete(key)
      // What a virus scanner holds open stays until the next start.
      rm(entry.path, { force: true }).catch(() => {})
    }
  }

  async function use(key: string, signal: AbortSignal, sha256?: string): Promise<CachedBlob> {
    signal.throwIfAborted()
    const entry = open(key, sha256)
    entry.users++
    try {
      await untilAborted(entry.file, signal)
    } catch (error) {
      entry.users--
      throw error
    }
    let released = false
    const release = (): void => {
      if (released) return
      released = true
      entry.users--
      evict()
    }
    return { path: entry.path, release }
  }

  async function close(): Promise<void> {
    closing.abort()
    await Promise.allSettled([...entries.values()].map(entry => entry.file))
    await rm(folder, { recursive: true, force: true })
  }

  return { use, close }
}
