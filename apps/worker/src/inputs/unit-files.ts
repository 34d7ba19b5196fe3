import { largeInputKey } from '@sc/shared/unit.ts'
import { z } from 'zod'
import type { GivenUnit } from '../messaging/link.ts'
import type { BlobCache, CachedBlob } from './blob-cache.ts'

/**
 * Local files of a unit: `input` is its `inputRef`, the others are `params.blobs` by name. None without an `inputRef`, but for a
 * unit with a large input (`inputSha256`): then `input` is that, as JSON.
 */
export interface UnitFiles {
  paths: Record<string, string>
  release(): void
}

/** One that is fetched ahead was not given yet. */
export type FetchedUnit = Pick<GivenUnit, 'inputRef' | 'params'> &
  Partial<Pick<GivenUnit, 'unitId' | 'ticket' | 'inputSha256'>>

const blobsSchema = z.object({ blobs: z.record(z.string(), z.string()).optional() })

/** The blob keys of a unit, by the name under which the task finds the file. */
function blobKeysOf({ unitId = '', ticket = '', inputRef, inputSha256, params }: FetchedUnit): Record<string, string> {
  if (inputSha256 !== undefined) return { input: largeInputKey(unitId, ticket) }
  // Its params are what a client sent: nothing in them is a key.
  if (inputRef === null) return {}
  const { blobs } = blobsSchema.safeParse(params).data ?? {}
  return { ...blobs, input: inputRef }
}

/** Brings every blob of a unit onto this machine. */
export async function fetchUnitFiles(cache: BlobCache, unit: FetchedUnit, signal: AbortSignal): Promise<UnitFiles> {
  const names = Object.entries(blobKeysOf(unit))
  const fetched = await Promise.allSettled(names.map(([, key]) => cache.use(key, signal, unit.inputSha256)))
  const blobs = fetched.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
  const release = (): void => blobs.forEach(blob => void blob.release())
  const failed = fetched.find(one => one.status === 'rejected')
  if (failed) {
    release()
    throw failed.reason
  }
  const paths = names.map(([name], at) => [name, (blobs[at] as CachedBlob).path])
  return { paths: Object.fromEntries(paths), release }
}
