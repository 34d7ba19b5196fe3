import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { App } from './app-deps.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Fires when the server begins to close: streams end, uploads are refused. */
    stopping: AbortSignal
  }
}

/** How long answers that are under way may take while the master stops. */
const GRACE_MS = 5_000

export function addStopping(app: App): void {
  const stopping = new AbortController()
  // Browsers and clients open connections ahead of need; Node would wait for their first request, up to a minute.
  const silent = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    silent.add(socket)
    socket.once('close', () => silent.delete(socket))
  })
  app.server.on('request', ({ socket }: { socket: Socket }) => silent.delete(socket))
  app.decorate('stopping', stopping.signal)
  app.addHook('preClose', async () => {
    stopping.abort()
    for (const socket of silent) socket.destroy()
    setTimeout(() => app.server.closeAllConnections(), GRACE_MS).unref()
  })
}

/** Nobody reads so long: the rest of the answer is given up. */
const UNREAD_MS = 60_000

/** Ends the connection of an answer of which the client takes no byte any more; one that is slow goes on. */
export function endWhenUnread(response: ServerResponse, unreadMs = UNREAD_MS): void {
  response.setTimeout(unreadMs, () => response.destroy())
}

/** Fires when the client is gone before its answer is whole, or when the master stops. */
export function untilDisconnect(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort()
  })
  if (reply.raw.destroyed) gone.abort()
  return AbortSignal.any([gone.signal, reply.server.stopping])
}
