import { hash } from 'node:crypto'
import { text as textOf } from 'node:stream/consumers'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Room } from '../cluster/room.ts'
import type { JobRow } from '../database/schema.ts'
import type { StoredInput } from './definition.ts'

/**
 * Characters of JSON: a larger input of a task is a blob. Rows are read whole, and Redis takes 4 MB at once. Its worker fetches
 * it (`http/routes/blobs.ts`), and it goes when its job is forgotten: until then the job may be begun again.
 */
export const LARGEST_IN_ROW = 1024 ** 2

/** SC_DISK_FULL */
export async function keepInput(
  { blobs, room }: { blobs: BlobStore; room: Pick<Room, 'disk'> },
  jobId: string,
  json: string
): Promise<StoredInput> {
  const key = `files/${jobId}/input.json`
  const bytes = Buffer.from(json)
  const claim = await room.disk.claim(bytes.length)
  try {
    await claim.willHave(bytes.length)
    await blobs.put(key, bytes)
  } finally {
    claim.release()
  }
  return { key, sha256: hash('sha256', bytes) }
}

/** What a job was given, as JSON text, wherever it is kept. */
export async function readInput(blobs: BlobStore, job: Pick<JobRow, 'input' | 'input_ref'>): Promise<string> {
  return job.input_ref === null ? JSON.stringify(job.input) : await textOf(await blobs.get(job.input_ref))
}
