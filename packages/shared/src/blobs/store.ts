import type { Readable } from 'node:stream'
import { ScError } from '../errors.ts'

/** Bytes under keys such as `files/JOB/recording.mp3`: uploads, chunks, results. Made by the master, never by a client. */
export interface BlobStore {
  /**
   * Stores all of `body`, or nothing: a reader sees the old or the new bytes, and an abort or a failure leaves no trace.
   * Resolves with the size once the bytes are on the disk. SC_DISK_FULL, SC_CANCELLED.
   */
  put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: { signal?: AbortSignal }): Promise<number>
  /** Stores a local file and takes it away: afterwards `path` is gone. Resolves with the size. */
  putFile(key: string, path: string, options?: { signal?: AbortSignal }): Promise<number>
  /** The bytes from `start` up to but without `end`; past the blob's end there are none. SC_NOT_FOUND before any byte. */
  get(key: string, range?: { start?: number; end?: number; signal?: AbortSignal }): Promise<Readable>
  /** Where the blob lies on this machine's disk, for programs that read files; only a store on a disk has it. */
  localPath?(key: string): string
  /** SC_NOT_FOUND */
  size(key: string): Promise<number>
  /** Removing what is not there is no error. */
  remove(key: string): Promise<void>
  /** Removes every blob below a folder such as `files/JOB`. */
  removePrefix(prefix: string): Promise<void>
  /** Throws SC_UNAVAILABLE or SC_DISK_FULL when blobs cannot be stored now. */
  check(): Promise<void>
}

const KEY = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/

/** A key as it was given, if it is one: a leading dot, `..`, an empty part or any byte that is special somewhere is none. */
export function validKey(key: string): string {
  if (key.length > 512 || !KEY.test(key) || key.split('/').some(part => part.length > 200 || part.endsWith('.')))
    throw new ScError('SC_NOT_FOUND', `"${key.slice(0, 100)}" is not the key of a blob`)
  return key
}
