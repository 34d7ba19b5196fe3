import { stat, unlink } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { BlobServiceClient, type ContainerClient, RestError } from '@azure/storage-blob'
import { ScError } from '../errors.ts'
import { withoutSecrets } from '../log.ts'
import { type BlobStore, validKey } from './store.ts'

/** The one file that knows the Azure SDK. */
/** Azure wants three letters at least. */
const CONTAINER = 'sc-blobs'
/** An upload holds at most 4 parts of 4 MiB in memory. */
const PART_BYTES = 4 * 1024 * 1024
const PARTS_AT_ONCE = 4
const CHECK_TIMEOUT_MS = 5_000

export async function openAzure(connectionString: string): Promise<BlobStore> {
  const container = await explain('opening the blob container', async () => {
    const service = BlobServiceClient.fromConnectionString(connectionString, {
      retryOptions: { maxTries: 4, retryDelayInMs: 250, maxRetryDelayInMs: 4_000 }
    })
    const client = service.getContainerClient(CONTAINER)
    await client.createIfNotExists()
    return client
  })
  return azureStore(container)
}

function azureStore(container: ContainerClient): BlobStore {
  const blob = (key: string) => container.getBlockBlobClient(validKey(key))

  const store: BlobStore = {
    put: (key, body, { signal } = {}) =>
      explain(`storing ${validKey(key)}`, async () => {
        const abort = signal ? { abortSignal: signal } : {}
        if (body instanceof Uint8Array) {
          await blob(key).uploadData(body, { ...abort, maxSingleShotSize: PART_BYTES, blockSize: PART_BYTES })
          return body.byteLength
        }
        let bytes = 0
        // The source's own failure, which the SDK may wrap or swallow, decides over what the SDK says.
        let failure: unknown
        async function* counted(): AsyncGenerator<Buffer> {
          try {
            for await (const chunk of body as AsyncIterable<Uint8Array>) {
              bytes += chunk.byteLength
              yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
            }
          } catch (error) {
            failure = error
            throw error
          }
        }
        const stream = Readable.from(counted(), { objectMode: false })
        try {
          await blob(key).uploadStream(stream, PART_BYTES, PARTS_AT_ONCE, abort)
        } catch (error) {
          throw failure ?? error
        } finally {
          stream.destroy()
        }
        return bytes
      }),

    putFile: (key, path, { signal } = {}) =>
      explain(`storing ${validKey(key)}`, async () => {
        const { size } = await stat(path)
        const abort = signal ? { abortSignal: signal } : {}
        await blob(key).uploadFile(path, { ...abort, blockSize: PART_BYTES, concurrency: PARTS_AT_ONCE })
        await unlink(path)
        return size
      }),

    get: (key, { start = 0, end = Number.POSITIVE_INFINITY, signal } = {}) =>
      explain(`reading ${validKey(key)}`, async () => {
        if (end <= start) {
          await blob(key).getProperties()
          return Readable.from([])
        }
        try {
          const count = Number.isFinite(end) ? end - start : undefined
          const answer = await blob(key).download(start, count, signal ? { abortSignal: signal } : {})
          return answer.readableStreamBody as Readable
        } catch (error) {
          if (error instanceof RestError && error.statusCode === 416) return Readable.from([])
          throw error
        }
      }),

    size: key => explain(`reading ${validKey(key)}`, async () => (await blob(key).getProperties()).contentLength ?? 0),

    remove: key => explain(`removing ${key}`, async () => void (await blob(key).deleteIfExists())),

    removePrefix: prefix =>
      explain(`removing ${prefix}`, async () => {
        for await (const { name } of container.listBlobsFlat({ prefix: `${validKey(prefix)}/` }))
          await container.getBlobClient(name).deleteIfExists()
        await blob(prefix).deleteIfExists()
      }),

    check: () =>
      explain('checking the blob container', async () => {
        await container.getProperties({ abortSignal: AbortSignal.timeout(CHECK_TIMEOUT_MS) })
      })
  }
  return store
}

async function explain<T>(doing: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof ScError) throw error
    const { name, message } = error as Error
    const detail = `${doing}: ${withoutSecrets(message.split('\n')[0] ?? name)}`
    const status = error instanceof RestError ? error.statusCode : undefined
    if (status === 404) throw new ScError('SC_NOT_FOUND', `${doing}: there is no such blob`, { cause: error })
    if (status === 401 || status === 403)
      throw new ScError('SC_CONFIG', `Azure refuses the key, ${detail}`, { cause: error })
    if (name === 'AbortError' && !/checking/.test(doing)) throw new ScError('SC_CANCELLED', detail, { cause: error })
    if (error instanceof RestError || name === 'AbortError' || name === 'TimeoutError')
      throw new ScError('SC_UNAVAILABLE', detail, { cause: error })
    throw error
  }
}
