/** One recording to `POST /transcribe`, streamed from the disk: memory does not grow with the file. */
import { randomUUID } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'

/** Fields of the form beside `file`, under their names in the API. */
export type TranscribeFields = Partial<
  Record<'model' | 'language' | 'task' | 'prompt' | 'chunk_seconds' | 'channel' | 'track' | 'reuse', string>
>

export interface UploadOptions {
  fields: TranscribeFields
  signal: AbortSignal
  onBytes(sent: number, total: number): void
}

const submissionSchema = z.object({ jobId: z.string() })

const PIECE_BYTES = 256 * 1024

/** Answers the job's id. */
export async function upload(client: MasterClient, path: string, options: UploadOptions): Promise<string> {
  const { fields, signal, onBytes } = options
  const boundary = `sc-${randomUUID()}`
  const { size } = statSync(path)
  onBytes(0, size)
  const response = await client.postStream('/transcribe', {
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: encodeForm(boundary, fields, path, sent => onBytes(sent, size)),
    signal
  })
  return submissionSchema.parse(await response.json()).jobId
}

/**
 * RFC 7578, by hand: a FormData with a Blob of the file tells nothing of its progress. Fields go first: the master knows them before the file's bytes come.
 */
async function* encodeForm(
  boundary: string,
  fields: TranscribeFields,
  path: string,
  onBytes: (sent: number) => void
): AsyncGenerator<Uint8Array> {
  const part = (disposition: string, value: string): Uint8Array =>
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n${value}`)
  for (const [name, value] of Object.entries(fields)) yield part(`name="${name}"`, `\r\n${value}\r\n`)
  yield part(`name="file"; filename="${quotable(basename(path))}"`, 'Content-Type: application/octet-stream\r\n\r\n')
  let sent = 0
  for await (const bytes of createReadStream(path, { highWaterMark: PIECE_BYTES })) {
    yield bytes
    sent += bytes.length
    onBytes(sent)
  }
  yield Buffer.from(`\r\n--${boundary}--\r\n`)
}

/** As browsers do: https://html.spec.whatwg.org/#multipart-form-data */
function quotable(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}
