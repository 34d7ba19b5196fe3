import { type FileHandle, open } from 'node:fs/promises'
import type { ByteRange } from './ffmpeg-command.ts'
import { createMpegScan } from './mpeg-frames.ts'
import { createOggScan } from './ogg-links.ts'

/**
 * A recording's file in parts that are decoded one after the other. Mostly one; more where ffmpeg would read on as if nothing
 * were between: it stops at the second link of a chained Ogg file, and joins what is before and after a damaged place of a
 * format without timestamps.
 */
export interface FilePart {
  /** Null: the whole file. */
  readonly bytes: ByteRange | null
  /** What the damaged place before it held, as far as the frames around it tell. */
  readonly lostSeconds: number
  readonly lostBytes: number
}

export const WHOLE_FILE: readonly FilePart[] = [{ bytes: null, lostSeconds: 0, lostBytes: 0 }]

/** Reads a file from its start to its end, in blocks. */
export interface FileScan {
  /**
   * Looks at the file from byte `at` on, of which `block` is what follows, up to the file's end if `isLast`. Answers where the
   * next block should begin.
   */
  push(block: Buffer, at: number, isLast: boolean): number
  end(): FilePart[]
}

const SCANS: Record<string, () => FileScan> = {
  ogg: createOggScan,
  mp3: () => createMpegScan('mpeg'),
  aac: () => createMpegScan('adts')
}
/** Whether frames of the format say when they are heard. */
export function hasTimestamps(format: string): boolean {
  return !WITHOUT_TIMESTAMPS.includes(format)
}
const WITHOUT_TIMESTAMPS = ['mp3', 'aac', 'ac3', 'eac3']

/** Whether `findParts` looks at every frame of the format: that tells what is damaged better than ffmpeg does. */
export function isWalked(format: string): boolean {
  return format === 'mp3' || format === 'aac'
}

const BLOCK_BYTES = 1024 ** 2

/** `format` is ffmpeg's name of it. */
export async function findParts(path: string, format: string, signal?: AbortSignal): Promise<readonly FilePart[]> {
  const create = SCANS[format]
  if (!create) return WHOLE_FILE
  await using file = await open(path)
  const parts = await scan(file, create(), signal)
  // A whole file is decoded as such: what stands around its sound has its meaning, too.
  return parts.length === 1 && parts[0]?.lostBytes === 0 ? WHOLE_FILE : parts
}

async function scan(file: FileHandle, { push, end }: FileScan, signal?: AbortSignal): Promise<FilePart[]> {
  const { size } = await file.stat()
  const buffer = Buffer.alloc(Math.min(size, BLOCK_BYTES))
  for (let at = 0; at < size; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    const next = push(buffer.subarray(0, bytesRead), at, at + bytesRead >= size)
    // A scan that asks for the same bytes again can do no more with them.
    if (next <= at || (at + bytesRead >= size && next >= size)) break
    at = next
  }
  return end()
}
