import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import { MOST_READ_HERE_BYTES, parseBody, textOfBody } from '../jobs/json-body.ts'
import type { App } from './app-deps.ts'

/** The body of a request that is too large to be read here: its route has it read in a thread. */
export class LargeBody {
  readonly #bytes: Buffer
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** In memory of their own, which can be handed on to a thread. */
  take(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, length } = this.#bytes
    if (buffer instanceof ArrayBuffer && byteOffset === 0 && buffer.byteLength === length) return new Uint8Array(buffer)
    return new Uint8Array(this.#bytes)
  }
}

/** In place of fastify's reader of JSON. */
export function readJson(app: Pick<App, 'addContentTypeParser' | 'removeContentTypeParser'>): void {
  // No route takes text: as `text/plain`, JSON would be one text.
  app.removeContentTypeParser('text/plain')
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      // Many clients say so of every request, also of those that have no body.
      if (bytes.length === 0 && request.routeOptions.schema?.body === undefined) return undefined
      return bytes.length > MOST_READ_HERE_BYTES ? new LargeBody(bytes) : parseBody(textOfBody(bytes))
    }
  )
}

/** Unpacked, a small body may be of any size. */
export function refuseEncoded({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return
  const detail = `The body came with content-encoding ${encoding}, which is not read here: send it as it is.`
  throw new ScError('SC_BAD_REQUEST', detail)
}
