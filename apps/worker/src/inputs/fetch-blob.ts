import { createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { ScError } from '@sc/shared/errors.ts'

/** No byte for so long: the connection is taken for dead. */
const SILENCE_MS = 15_000
/** Without a new byte for so long, over all tries, the blob is given up. */
const GIVE_UP_MS = 60_000
const LONGEST_BACKOFF_MS = 4_000
const MAX_REDIRECTS = 3
const LONGEST_RETRY_AFTER_S = 30

/** The master has as many blobs for this worker under way as it gives at once: the next waits, for as long as it takes. */
class MasterBusy extends Error {
  readonly retryMs: number
  constructor(retryAfter: string | null) {
    super('the master gives no more blobs at once')
    this.retryMs = Math.min(Number(retryAfter) || 1, LONGEST_RETRY_AFTER_S) * 1_000
  }
}

export interface BlobSource {
  /** The master's address, asked for at each try: a restarted master may have another. */
  httpUrl(): Promise<string>
  key: string
}

export interface FetchOptions {
  /** What came stays beside the file when the blob is given up: the next call goes on with it. */
  keepPart?: boolean
  /** So many bytes came. */
  onBytes?: (count: number) => void
}

/**
 * Downloads one blob into a file, going on where a broken connection stopped. Rejects with SC_INPUT_UNREADABLE, whose
 * cause is SC_NOT_FOUND when the master has no such blob. The file appears under its name only when it is whole.
 */
export async function fetchBlob(
  source: BlobSource,
  blobKey: string,
  path: string,
  signal: AbortSignal,
  { keepPart = false, onBytes = () => {} }: FetchOptions = {}
): Promise<void> {
  const part = `${path}.part`
  let lastByteAtMs = performance.now()
  let receivedBytes = 0
  for (let attempt = 0; ; attempt++) {
    try {
      await fetchRest(source, blobKey, part, signal, onBytes)
      return await rename(part, path)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof MasterBusy) {
        lastByteAtMs = performance.now()
        await sleep(error.retryMs, undefined, { signal })
        continue
      }
      const size = await sizeOf(part)
      if (size > receivedBytes) {
        lastByteAtMs = performance.now()
        attempt = 0
      }
      receivedBytes = size
      if (error instanceof ScError || performance.now() - lastByteAtMs > GIVE_UP_MS) {
        if (!keepPart || error instanceof ScError) await rm(part, { force: true })
        throw unreadable(blobKey, error)
      }
      await sleep(Math.min(200 * 2 ** attempt, LONGEST_BACKOFF_MS), undefined, { signal })
    }
  }
}

async function fetchRest(
  source: BlobSource,
  blobKey: string,
  part: string,
  signal: AbortSignal,
  onBytes: (count: number) => void
): Promise<void> {
  const from = await sizeOf(part)
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(new Error('the connection went silent')), SILENCE_MS)
  try {
    const url = new URL(
      `blobs/${blobKey.split('/').map(encodeURIComponent).join('/')}`,
      folderUrl(await source.httpUrl())
    )
    const answer = await request(url, source.key, from, AbortSignal.any([signal, silence.signal]))
    // The whole blob was here already, and only its end was not heard of.
    if (answer.status === 416 && from > 0 && answer.headers.get('content-range') === `bytes */${from}`) return
    if (answer.status === 429) {
      await answer.body?.cancel()
      throw new MasterBusy(answer.headers.get('retry-after'))
    }
    if (answer.status >= 500) throw new Error(`the answer was ${answer.status}`)
    if (!answer.ok || !answer.body)
      throw new ScError(
        answer.status === 404 ? 'SC_NOT_FOUND' : 'SC_INPUT_UNREADABLE',
        `the answer was ${answer.status}`
      )
    const resumed = answer.status === 206 && answer.headers.get('content-range')?.startsWith(`bytes ${from}-`)
    const body = Readable.fromWeb(answer.body).on('data', (bytes: Uint8Array) => {
      timer.refresh()
      onBytes(bytes.length)
    })
    await pipeline(body, createWriteStream(part, { flags: resumed ? 'a' : 'w', mode: 0o600 }), { signal })
  } finally {
    clearTimeout(timer)
  }
}

/** Follows redirects by hand: the worker's key is for the master alone. */
async function request(url: URL, key: string, from: number, signal: AbortSignal): Promise<Response> {
  const range = from > 0 ? { range: `bytes=${from}-` } : undefined
  let answer = await fetch(url, { headers: { authorization: `Bearer ${key}`, ...range }, redirect: 'manual', signal })
  for (let redirects = 0; answer.status >= 300 && answer.status < 400 && redirects < MAX_REDIRECTS; redirects++) {
    const location = answer.headers.get('location')
    await answer.body?.cancel()
    if (!location) break
    answer = await fetch(new URL(location, url), { headers: { ...range }, redirect: 'manual', signal })
  }
  return answer
}

function folderUrl(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0
  )
}

function unreadable(blobKey: string, error: unknown): ScError {
  const first = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const reason = first instanceof Error ? first.message : String(first)
  return new ScError('SC_INPUT_UNREADABLE', `Fetching ${blobKey} from the master failed: ${reason}`, { cause: error })
}
