import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import type { DiskClaim, DiskReserve } from '../cluster/disk-reserve.ts'
import { uploadFolder } from './stale-uploads.ts'
import { COLLECT_EVERY_BYTES, collectYoungGarbage } from './young-garbage.ts'

/** A form with one file: the file on the disk, synced, everything else in memory. */
export interface Upload {
  /** Folder of its own; whoever received it removes it. */
  readonly folder: string
  readonly path: string
  /** As the client named it. */
  readonly fileName: string
  readonly sha256: string
  readonly fields: Record<string, string>
}

export interface UploadLimits {
  /** Where the folder is made. */
  readonly spoolDir: string
  /** Of the disk that the folder is on. */
  readonly disk: DiskReserve
  readonly maxBytes: number
  /** Other fields are refused, by name. */
  readonly fieldNames: readonly string[]
  readonly signal: AbortSignal
}

const MAX_FIELD_BYTES = 16 * 1024
/** So few writes that they cost nothing, so little memory that many uploads fit. */
const WRITE_BUFFER_BYTES = 1024 ** 2
/** Writing back begins while the rest still comes in, so that the flush at the end has little left to wait for. */
const SYNC_EVERY_BYTES = 32 * 1024 ** 2

/** Fields may come before or after the file. Whatever goes wrong leaves nothing behind. */
export async function receiveUpload(request: FastifyRequest, limits: UploadLimits): Promise<Upload> {
  const folder = uploadFolder(limits.spoolDir)
  let claim: DiskClaim | undefined
  try {
    const announced = announcedBytes(request, limits.maxBytes)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    claim = await limits.disk.claim(announced)
    return await readForm(request, folder, limits, claim)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    discardRest(request)
    throw translate(error, request)
  } finally {
    claim?.release()
  }
}

/** Of the whole form; 0: it does not say. What is wrong before the first byte is read is refused. */
function announcedBytes(request: FastifyRequest, maxBytes: number): number {
  if (!request.isMultipart())
    throw new ScError('SC_NO_FILE', 'Send multipart/form-data with the recording in the field "file".')
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > maxBytes + 64 * MAX_FIELD_BYTES) throw tooLarge(maxBytes)
  return announced
}

async function readForm(
  request: FastifyRequest,
  folder: string,
  limits: UploadLimits,
  claim: DiskClaim
): Promise<Upload> {
  const { maxBytes, fieldNames, signal } = limits
  const fields: Record<string, string> = {}
  let file: Pick<Upload, 'path' | 'fileName' | 'sha256'> | undefined
  const parts = request.parts({
    limits: { fileSize: maxBytes, files: 2, fields: 40, fieldSize: MAX_FIELD_BYTES, parts: 50, headerPairs: 50 }
  })
  for await (const part of untilAborted(parts, signal)) {
    const { fieldname } = part
    if (part.type === 'file') {
      if (fieldname !== 'file')
        throw new ScError('SC_BAD_REQUEST', `${fieldname}: the recording belongs in the field "file".`)
      if (file) throw new ScError('SC_BAD_REQUEST', 'file: one recording at a time.')
      const path = join(folder, randomUUID())
      // Without this the rest of it would be waited for.
      part.file.once('limit', () => part.file.destroy(tooLarge(maxBytes)))
      const sha256 = await writeFile(part.file, path, claim, signal)
      if (part.file.truncated) throw tooLarge(maxBytes)
      file = { path, sha256, fileName: part.filename || 'recording' }
    } else {
      if (fieldname === 'file')
        throw new ScError('SC_NO_FILE', 'file: came as text; send it as a file, with a file name.')
      if (!fieldNames.includes(fieldname))
        throw new ScError(
          'SC_BAD_REQUEST',
          `${fieldname}: there is no such field; known are file, ${fieldNames.join(', ')}.`
        )
      if (Object.hasOwn(fields, fieldname)) throw new ScError('SC_BAD_REQUEST', `${fieldname}: was sent twice.`)
      if (part.valueTruncated) throw new ScError('SC_BAD_REQUEST', `${fieldname}: is too long.`)
      fields[fieldname] = String(part.value)
    }
  }
  if (!file) throw new ScError('SC_NO_FILE', 'There was no file in the form: send the recording in the field "file".')
  if (file.sha256 === EMPTY_SHA256) throw new ScError('SC_NO_FILE', 'The file is empty.')
  return { folder, fields, ...file }
}

/** A form whose connection is gone before it is read never ends by itself, nor fails. */
async function* untilAborted<T>(parts: AsyncIterableIterator<T>, signal: AbortSignal): AsyncGenerator<T> {
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    for (;;) {
      const next = await Promise.race([parts.next(), aborted.promise])
      if (next.done) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

const EMPTY_SHA256 = createHash('sha256').digest('hex')

/** Resolves with the sha256 once the bytes are on the disk. */
async function writeFile(source: Readable, path: string, claim: DiskClaim, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'wx', 0o600)
  let total = 0
  let unsynced = 0
  let uncollected = 0
  const meter = new Transform({
    highWaterMark: WRITE_BUFFER_BYTES,
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk)
      unsynced += chunk.length
      if (unsynced >= SYNC_EVERY_BYTES) {
        unsynced = 0
        // What it fails with comes back from the flush at the end.
        file.datasync().catch(() => {})
      }
      uncollected += chunk.length
      if (uncollected >= COLLECT_EVERY_BYTES) {
        uncollected = 0
        collectYoungGarbage()
      }
      total += chunk.length
      const granted = claim.willHave(total)
      if (granted) granted.then(() => done(null, chunk), done)
      else done(null, chunk)
    }
  })
  await pipeline(source, meter, file.createWriteStream({ highWaterMark: WRITE_BUFFER_BYTES, flush: true }), { signal })
  return hash.digest('hex')
}

function tooLarge(maxBytes: number): ScError {
  return new ScError('SC_FILE_TOO_LARGE', `The master takes files of up to ${maxBytes} bytes (SC_MAX_UPLOAD_BYTES).`)
}

/** Until the answer: then `unread-bodies.ts` has it. */
function discardRest({ raw }: FastifyRequest): void {
  if (raw.readableEnded || raw.destroyed) return
  raw.unpipe()
  raw.resume()
  raw.once('error', () => {})
}

function translate(error: unknown, request: FastifyRequest): unknown {
  if (error instanceof ScError) return error
  if (request.raw.destroyed && !request.raw.readableEnded)
    return new ScError('SC_CANCELLED', 'The client went away during the upload.', { cause: error })
  const { code, name, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ScError('SC_DISK_FULL', 'The disk of the master is full; nothing of the upload was kept.', {
      cause: error
    })
  if (name === 'AbortError') return new ScError('SC_UNAVAILABLE', 'The master is stopping.', { cause: error })
  // An error of the file system names its call; what is left is the form's own.
  return error !== null && typeof error === 'object' && 'syscall' in error
    ? error
    : new ScError('SC_BAD_REQUEST', `The form cannot be read: ${message}`, { cause: error })
}
