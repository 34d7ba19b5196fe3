import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { ScError } from '../errors.ts'
import { type BlobStore, validKey } from './store.ts'

/** Start writing back every so many bytes, so that the last fsync of a large upload has little left to wait for. */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024
/** A temporary file untouched for so long belongs to a process that was killed. */
const STALE_MS = 60 * 60 * 1000

/** Blobs as files below `root`, written beside (`.incoming`), synced, then renamed. */
export async function openFolder(root: string): Promise<BlobStore> {
  const incoming = join(root, '.incoming')
  await explain('opening the blob folder', () => mkdir(incoming, { recursive: true, mode: 0o700 }))
  await removeStale(incoming)
  const pathOf = (key: string) => join(root, validKey(key))

  async function moveIn(from: string, key: string): Promise<void> {
    const path = pathOf(key)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await rename(from, path)
    await syncFolder(dirname(path))
  }

  const store: BlobStore = {
    put: (key, body, { signal } = {}) =>
      explain(`storing ${validKey(key)}`, async () => {
        const temporary = join(incoming, randomUUID())
        try {
          const bytes = await writeAll(temporary, body, signal)
          await moveIn(temporary, key)
          return bytes
        } catch (error) {
          await rm(temporary, { force: true })
          throw error
        }
      }),

    putFile: (key, path, { signal } = {}) =>
      explain(`storing ${validKey(key)}`, async () => {
        const file = await open(path, 'r+')
        try {
          const { size, dev } = await file.stat()
          if (dev === (await stat(incoming)).dev) {
            await file.sync()
            signal?.throwIfAborted()
            await moveIn(path, key)
          } else {
            await store.put(key, file.createReadStream({ autoClose: false }), signal ? { signal } : {})
            await unlink(path)
          }
          return size
        } finally {
          await file.close()
        }
      }),

    get: (key, { start = 0, end = Number.POSITIVE_INFINITY, signal } = {}) =>
      explain(`reading ${validKey(key)}`, async () => {
        const file = await openFile(pathOf(key), key)
        if (end <= start) {
          await file.close()
          return Readable.from([])
        }
        return file.createReadStream({ start, end: end - 1, highWaterMark: 256 * 1024, ...(signal && { signal }) })
      }),

    localPath: pathOf,

    size: key =>
      explain(`reading ${validKey(key)}`, async () => {
        const file = await openFile(pathOf(key), key)
        return (await file.stat().finally(() => file.close())).size
      }),

    remove: key => explain(`removing ${key}`, () => rm(pathOf(key), { force: true })),
    removePrefix: prefix => explain(`removing ${prefix}`, () => rm(pathOf(prefix), { recursive: true, force: true })),

    check: () =>
      explain('checking the blob folder', async () => {
        const probe = join(incoming, randomUUID())
        await writeAll(probe, Buffer.from('probe')).finally(() => rm(probe, { force: true }))
      })
  }
  return store
}

async function writeAll(
  path: string,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  signal?: AbortSignal
): Promise<number> {
  const file = await open(path, 'wx', 0o600)
  let bytes = 0
  let synced = 0
  let syncing: Promise<void> | undefined
  try {
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      signal?.throwIfAborted()
      await writeChunk(file, chunk)
      bytes += chunk.byteLength
      if (bytes - synced >= SYNC_EVERY_BYTES && !syncing) {
        synced = bytes
        // Its error, if any, comes back from the sync at the end.
        syncing = file.datasync().then(stopped, stopped)
      }
    }
    signal?.throwIfAborted()
    await syncing
    await file.sync()
    return bytes
  } finally {
    await syncing
    await file.close()
  }

  function stopped(): void {
    syncing = undefined
  }
}

/** `write` may take less than it was given, on a nearly full disk. */
async function writeChunk(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength; )
    offset += (await file.write(chunk, offset, chunk.byteLength - offset)).bytesWritten
}

async function openFile(path: string, key: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new ScError('SC_NOT_FOUND', `there is no blob ${key}`)
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

async function removeStale(incoming: string): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name)
    const found = await stat(path).catch(() => undefined)
    if (found && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { force: true })
  }
}

/** Turns what the file system says into an error of the table, with what was being done. */
async function explain<T>(doing: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof ScError) throw error
    const { code, name, message } = error as NodeJS.ErrnoException
    const detail = `${doing}: ${message}`
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new ScError('SC_DISK_FULL', detail, { cause: error })
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP')
      throw new ScError('SC_NOT_FOUND', `${doing}: there is no such blob`, { cause: error })
    if (name === 'AbortError') throw new ScError('SC_CANCELLED', detail, { cause: error })
    if (code === 'EACCES' || code === 'EROFS' || code === 'EIO')
      throw new ScError('SC_UNAVAILABLE', detail, { cause: error })
    throw error
  }
}
