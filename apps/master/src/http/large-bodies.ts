import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { ScError } from '@sc/shared/errors.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CheckPool } from '../jobs/check-pool.ts'
import { MOST_READ_HERE_BYTES } from '../jobs/json-body.ts'
import type { App } from './app-deps.ts'
import { callerOf } from './auth.ts'
import { withRetryAfter } from './problem.ts'
import { LargeBody } from './read-json.ts'

/**
 * DESIGN. Bodies with large inputs are in memory as a whole, several times over while they are read and checked. So only some
 * may be under way: as many bytes as MOST_AT_ONCE of the largest take, half of them of one key. Those of a megabyte or less
 * are not counted.
 *
 *   head: as many bytes as it announces  |  read in a thread  ->  checked  ->  a blob  ->  answered: counted no more
 *   chunks without a length: as they come |
 */
const MOST_AT_ONCE = 4
const MOST_OF_KEY = 2
const TRY_AGAIN_SECONDS = 2

/** What a task is given, as JSON text: it is not taken apart here. */
export class JsonText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export interface LargeBodiesDeps {
  /** Of one body. */
  mostBytes: number
  checkPool: Pick<CheckPool, 'read'>
}

/** Hooks of a route whose bodies may be large. */
export function takeLargeBodies(app: App, { mostBytes, checkPool }: LargeBodiesDeps) {
  const ofKeys = new Map<string, number>()
  const ofAnswers = new WeakMap<ServerResponse, number>()
  let all = 0

  /** As many more bytes of a request, until its answer. SC_OVERLOADED: too much is under way. */
  function count(keyId: string, bytes: number, { raw }: FastifyReply): void {
    // Its client hung up, while its key was looked up: nothing more comes, and `close` came already.
    if (raw.closed) return
    const ofKey = ofKeys.get(keyId) ?? 0
    const isTooMuchOfKey = ofKey + bytes > MOST_OF_KEY * mostBytes
    if (isTooMuchOfKey || all + bytes > MOST_AT_ONCE * mostBytes) {
      const underWay = isTooMuchOfKey ? `This key has ${ofKey} bytes` : `There are ${all} bytes`
      const detail = `${underWay} of large inputs under way. Send this again in a moment, and fewer at once.`
      throw withRetryAfter(new ScError('SC_OVERLOADED', detail), TRY_AGAIN_SECONDS)
    }
    ofKeys.set(keyId, ofKey + bytes)
    all += bytes
    const before = ofAnswers.get(raw)
    ofAnswers.set(raw, (before ?? 0) + bytes)
    if (before !== undefined) return
    raw.once('close', () => {
      const counted = ofAnswers.get(raw) ?? 0
      all -= counted
      const left = (ofKeys.get(keyId) ?? 0) - counted
      if (left > 0) ofKeys.set(keyId, left)
      else ofKeys.delete(keyId)
    })
  }

  /** The same of a body that says not how long it is: a megabyte at a time. */
  async function* counted(body: Readable, request: FastifyRequest, reply: FastifyReply) {
    // Destroyed, a request has no socket any more, which what answers it looks at (`unread-bodies.ts`).
    const chunks: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false })
    let came = 0
    let held = MOST_READ_HERE_BYTES
    for await (const chunk of chunks) {
      came += chunk.length
      while (came > held) {
        // The first was not counted.
        const isFirst = held === MOST_READ_HERE_BYTES
        count(callerOf(request).keyId, isFirst ? 2 * MOST_READ_HERE_BYTES : MOST_READ_HERE_BYTES, reply)
        held += MOST_READ_HERE_BYTES
      }
      yield chunk
    }
  }

  return {
    onRequest: async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      const bytes = Number(request.headers['content-length'] ?? 0)
      // A larger one is refused for that.
      if (bytes > MOST_READ_HERE_BYTES && bytes <= mostBytes) count(callerOf(request).keyId, bytes, reply)
    },
    preParsing: async (request: FastifyRequest, reply: FastifyReply, body: Readable): Promise<Readable> =>
      request.headers['content-length'] === undefined ? Readable.from(counted(body, request, reply)) : body,
    preValidation: async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      const { body } = request
      if (!(body instanceof LargeBody)) return
      const asker = { keyId: callerOf(request).keyId, signal: () => app.whileAllowed(request, reply) }
      const { rest, input } = await checkPool.read(asker, body.take())
      request.body = input === undefined ? rest : { ...(rest as object), input: new JsonText(input) }
    }
  }
}
