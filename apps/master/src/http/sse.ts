import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'

/** What `/openapi.json` says of a stream. */
export const eventStreamResponse = {
  description: 'Server-sent events',
  content: { 'text/event-stream': { schema: z.string() } }
}

/** One event of a stream; `event: null` is a comment that only keeps the connection open. */
export type StreamEvent = { event: string; id?: string; data: unknown } | { event: null }

const RECONNECT_AFTER_MS = 1_000

/** Sends events until their end or until the client is gone; a slow client slows the source down. */
export async function sendEvents(reply: FastifyReply, events: AsyncIterable<StreamEvent>): Promise<FastifyReply> {
  return (
    reply
      .header('cache-control', 'no-store')
      .header('x-accel-buffering', 'no')
      // Kept open for another request, it would hold up a master that stops.
      .header('connection', 'close')
      .type('text/event-stream')
      .send(Readable.from(toText(events), { objectMode: false }))
  )
}

async function* toText(events: AsyncIterable<StreamEvent>): AsyncGenerator<string> {
  yield `retry: ${RECONNECT_AFTER_MS}\n\n`
  for await (const one of events) {
    if (one.event === null) yield ': still here\n\n'
    else yield `${one.id ? `id: ${one.id}\n` : ''}event: ${one.event}\ndata: ${JSON.stringify(one.data)}\n\n`
  }
}

/** What a client that comes back heard last. */
export function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  return [headers['last-event-id']].flat()[0]
}
