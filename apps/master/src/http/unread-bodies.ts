import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ConnectionLimits } from './limit-connections.ts'

/**
 * DESIGN. Each chunk of a body is a call into JavaScript, and a chunk of one byte costs its sender six: by the body of a
 * request that was long refused, one connection could keep the master busy for ever.
 *
 *   answered before its body is whole -> the answer says `connection: close` -> what still comes is thrown away, not taken
 *   apart into chunks -> the connection ends, a while after the answer so that who still sends comes to read it
 *
 *   in small chunks -> read at a pace, one for all requests of a key -> so many at once that the pace is far behind: ended
 */

/** Senders of large bodies have chunks of some KB. */
const SMALL_BYTES = 1024
/** Small chunks of one key that are read: some hundredths of the time of a core. */
const SMALL_PER_MS = 20
/** So many milliseconds' worth of them may come at once. */
const BURST_MS = 1_000
/** One connection is behind by less. */
const MOST_BEHIND_MS = 5_000
/** Of who shows no key: its address is not answered for a while. */
const MOST_SMALL_OF_NOBODY = 1_000
/** After the answer. */
const NOBODY_MS = 1_000
/** Browsers read the answer when they have sent all, or cannot send more. */
const WITH_KEY_MS = 30_000
const MOST_PACES = 1_000

/** When the next small chunk may be read. */
interface Pace {
  nextMs: number
}

const smallChunksOf = new WeakMap<IncomingMessage, number>()

export function paceChunks(server: Server, limits: ConnectionLimits): void {
  const paces = new Map<string, Pace>()

  function paceOf({ headers: { authorization, cookie = '' } }: IncomingMessage): Pace {
    if (paces.size > MOST_PACES)
      for (const [key, { nextMs }] of paces) if (nextMs <= performance.now()) paces.delete(key)
    const key = authorization ?? cookie
    const pace = paces.get(key) ?? { nextMs: 0 }
    paces.set(key, pace)
    return pace
  }

  server.prependListener('request', (request: IncomingMessage) => {
    if (request.headers['transfer-encoding'] === undefined) return
    const pace = paceOf(request)
    // A pipeline or an iterator that is broken off takes it from its request, and what still comes is pushed all the same.
    const { socket } = request
    const push = request.push.bind(request)
    const read = request._read.bind(request)
    let small = 0
    // Node calls it for each chunk, also of a body that nobody reads yet, and stops reading when it answers false.
    request.push = (chunk, encoding) => {
      if (chunk === null || chunk.length >= SMALL_BYTES) return push(chunk, encoding)
      // The rest of what was read from the connection at once.
      if (socket.destroyed) return false
      const nowMs = performance.now()
      pace.nextMs = Math.max(pace.nextMs, nowMs - BURST_MS) + 1 / SMALL_PER_MS
      smallChunksOf.set(request, ++small)
      if (pace.nextMs < nowMs + MOST_BEHIND_MS) return push(chunk, encoding) && pace.nextMs <= nowMs
      limits.refuse(socket.remoteAddress ?? '')
      socket.destroy()
      return false
    }
    request._read = size => {
      const waitMs = pace.nextMs - performance.now()
      if (waitMs <= 0) read(size)
      // More of them may have been read by then.
      else setTimeout(() => !request.destroyed && request._read(size), waitMs)
    }
  })
  // Node would answer 417 by itself and read on.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
}

/** Before an answer is sent, which `done` does. */
export function endIfUnread(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const isWhole = !isUnread(request.raw)
  if (isWhole) done()
  // What came along with the head is taken apart after it: often that is all.
  else
    setImmediate(() => {
      if (isUnread(request.raw)) end(request, reply)
      done()
    })
}

function end({ raw, identity, server, ip }: FastifyRequest, reply: FastifyReply): void {
  reply.header('connection', 'close')
  if (!identity && (smallChunksOf.get(raw) ?? 0) > MOST_SMALL_OF_NOBODY) server.connectionLimits.refuse(ip)
  endGently(reply.raw, identity ? WITH_KEY_MS : NOBODY_MS)
}

function isUnread({ complete, headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0
  return hasBody && complete === false
}

/** In place of what Node does after such an answer: closed under a client that still sends, it would be lost. */
function endGently({ socket }: ServerResponse, afterMs: number): void {
  if (!socket) return
  socket.destroySoon = () => {
    // Those of the parser.
    socket.removeAllListeners('data')
    socket.on('data', () => {})
    socket.resume()
    socket.end()
    const timer = setTimeout(() => socket.destroy(), afterMs)
    socket.once('close', () => clearTimeout(timer))
  }
}
