import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { storableJson } from '../database/jsonb.ts'
import type { JobRow } from '../database/schema.ts'
import type { StoredOutput } from './definition.ts'

/** A larger result is a blob: rows are read whole. */
export const LARGEST_IN_ROW_BYTES = 256 * 1024

export async function keepOutput(blobs: BlobStore, jobId: string, output: unknown): Promise<StoredOutput> {
  return await keepJson(blobs, jobId, JSON.stringify(output ?? null))
}

/** The same of what `JSON.stringify` made. */
export async function keepJson(blobs: BlobStore, jobId: string, json: string): Promise<StoredOutput> {
  const text = storableJson(json)
  if (Buffer.byteLength(text) <= LARGEST_IN_ROW_BYTES) return { output: text, output_ref: null }
  const key = `results/${jobId}.json`
  await blobs.put(key, Buffer.from(text))
  return { output: null, output_ref: key }
}

/** The blob that has a job's result; null: it is in the row. */
export function outputKeyOf({ id, task, output_ref }: Pick<JobRow, 'id' | 'task' | 'output_ref'>): string | null {
  return task === 'transcribe' ? `files/${id}/transcription.json` : output_ref
}
