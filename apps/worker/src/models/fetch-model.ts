import { mkdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { hasModel, MANIFEST, type ModelManifest, modelKey, modelManifestSchema } from '@sc/shared/models.ts'
import { pause } from '@sc/shared/pause.ts'
import { sha256Of } from '@sc/shared/sha256.ts'
import { type BlobSource, fetchBlob } from '../inputs/fetch-blob.ts'
import { takeLock } from '../lock-file.ts'

/**
 * DESIGN: a model from the master's disk to this one's.
 * - The manifest says which files there are, and each one's SHA-256. Files are fetched into `.NAME.part`, which becomes
 *   NAME when all are there and right: a folder NAME is always a whole model.
 * - What is in `.NAME.part` stays there when a connection, the worker or the machine stops; the next try goes on with it.
 * - A file with another sum is fetched once more from its start, by a new manifest; then it is given up.
 * - Workers of one machine may share a models folder: one of them fetches, the others wait for it.
 */
const TRIES = 2
const LOOK_AT_LOCK_MS = 500
const SAY_EVERY_MS = 5_000
const RENAME_TRIES = 20
const RENAME_AGAIN_MS = 500
const HELD_OPEN = ['EPERM', 'EACCES', 'EBUSY']
/** Stays free on the disk. */
const RESERVE_BYTES = 256 * 1024 ** 2

export interface FetchModelDeps {
  modelsDir: string
  source: BlobSource
  log: Logger
}

/** False: the master does not have it. SC_MODEL_UNAVAILABLE, SC_DISK_FULL. */
export async function fetchModel(deps: FetchModelDeps, name: string, signal: AbortSignal): Promise<boolean> {
  const { modelsDir, log } = deps
  await mkdir(modelsDir, { recursive: true })
  const part = join(modelsDir, `.${name}.part`)
  const release = await lock(join(modelsDir, `.${name}.lock`), () => hasModel(modelsDir, name), signal)
  if (!release) return true
  try {
    for (let attempt = 1; ; attempt++) {
      const manifest = await fetchManifest(deps, name, part, signal)
      if (!manifest) return false
      const wrong = await fetchFiles(deps, manifest, part, signal)
      if (wrong === undefined) break
      log.warn({ model: name }, `${wrong} of the model ${name} came with another checksum than the master says`)
      if (attempt === TRIES)
        throw new ScError(
          'SC_MODEL_UNAVAILABLE',
          `${wrong} came damaged ${TRIES} times. Look at the disk and the memory of the master, and of this machine.`
        )
    }
    await moveIn(part, join(modelsDir, name), signal)
    return true
  } finally {
    release()
  }
}

/** Undefined: another process has brought the model meanwhile. */
async function lock(
  path: string,
  isThere: () => Promise<boolean>,
  signal: AbortSignal
): Promise<(() => void) | undefined> {
  for (;;) {
    const taken = takeLock(path)
    if (await isThere()) {
      if (typeof taken === 'function') taken()
      return undefined
    }
    if (typeof taken === 'function') return taken
    await pause(LOOK_AT_LOCK_MS, signal)
    signal.throwIfAborted()
  }
}

async function fetchManifest(
  { source }: FetchModelDeps,
  name: string,
  part: string,
  signal: AbortSignal
): Promise<ModelManifest | undefined> {
  await mkdir(part, { recursive: true })
  const path = join(part, MANIFEST)
  // Never the half of an old one with the rest of a new one.
  await rm(`${path}.part`, { force: true })
  try {
    await fetchBlob(source, modelKey(name, MANIFEST), path, signal)
    return modelManifestSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (!((error as Error).cause instanceof ScError)) throw error
    if (((error as Error).cause as ScError).code !== 'SC_NOT_FOUND') throw error
    await rm(part, { recursive: true, force: true })
    return undefined
  } finally {
    await rm(path, { force: true })
  }
}

/** Answers the first file that came wrong, and takes it away. */
async function fetchFiles(
  { modelsDir, source, log }: FetchModelDeps,
  { name, files }: ModelManifest,
  part: string,
  signal: AbortSignal
): Promise<string | undefined> {
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let hereBytes = 0
  for (const { file, sizeBytes } of files) hereBytes += Math.min(await bytesHere(join(part, file)), sizeBytes)
  await checkSpace(modelsDir, totalBytes - hereBytes)
  const goesOn = hereBytes > 0 ? `, of which ${megabytes(hereBytes)} are here` : ''
  log.info({ model: name }, `Fetching the model ${name} from the master: ${megabytes(totalBytes)}${goesOn}`)
  const startedMs = performance.now()
  let saidMs = startedMs
  const onBytes = (count: number): void => {
    hereBytes += count
    if (performance.now() - saidMs < SAY_EVERY_MS) return
    saidMs = performance.now()
    log.info({ model: name }, `The model ${name}: ${Math.floor((100 * hereBytes) / totalBytes)} % is here`)
  }
  for (const { file, sizeBytes, sha256 } of files) {
    const path = join(part, file)
    // Left by a process that was killed before it looked at the sum.
    if ((await sizeOf(path)) !== undefined && (await sha256Of(path, signal)) === sha256) continue
    await rm(path, { force: true })
    if (((await sizeOf(`${path}.part`)) ?? 0) > sizeBytes) await rm(`${path}.part`)
    await fetchBlob(source, modelKey(name, file), path, signal, { keepPart: true, onBytes })
    if ((await sha256Of(path, signal)) === sha256) continue
    await rm(path, { force: true })
    return file
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  log.info({ model: name }, `The model ${name} is here, after ${seconds} s`)
  return undefined
}

async function checkSpace(folder: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  if (free - RESERVE_BYTES >= neededBytes) return
  throw new ScError(
    'SC_DISK_FULL',
    `${folder} has ${megabytes(free)} free, and ${megabytes(neededBytes + RESERVE_BYTES)} are needed. Make room, or name another folder by SC_MODELS_DIR.`
  )
}

/** On Windows a virus scanner reads what is new, and a folder with an open file cannot be renamed. `move` is `rename`. */
export async function moveIn(part: string, folder: string, signal: AbortSignal, move = rename): Promise<void> {
  for (let left = RENAME_TRIES; ; left--) {
    try {
      return await move(part, folder)
    } catch (error) {
      if (left === 0 || !HELD_OPEN.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
      await pause(RENAME_AGAIN_MS, signal)
      signal.throwIfAborted()
    }
  }
}

async function bytesHere(path: string): Promise<number> {
  return (await sizeOf(path)) ?? (await sizeOf(`${path}.part`)) ?? 0
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined
  )
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MB`
}
