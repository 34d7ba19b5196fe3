/** A real HTTP server that answers as the master does, and breaks as networks do. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const KEY = 'a-key-for-the-tests'

export interface TinyMaster {
  url: string
  /** Method, path and the header `last-event-id`, as they came in. */
  requests: string[]
  close(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => unknown

/** Handlers by `METHOD /path`, without the query. */
export async function startTinyMaster(handlers: Record<string, Handler>): Promise<TinyMaster> {
  const requests: string[] = []
  const server = createServer(async (request, response) => {
    const path = (request.url ?? '').replace(/\?.*/, '')
    const after = request.headers['last-event-id']
    requests.push(`${request.method} ${request.url}${after === undefined ? '' : ` after ${after}`}`)
    // As a server does that does not read what it refuses.
    if (request.headers.authorization !== `Bearer ${KEY}`)
      return problem(response.setHeader('connection', 'close'), 401, 'SC_UNAUTHENTICATED', 'The key is not known.')
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const handler = handlers[`${request.method} ${path}`]
    if (!handler) return problem(response, 404, 'SC_NOT_FOUND', `There is no ${path}.`)
    await handler(request, response, Buffer.concat(parts))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

export function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ code, title: 'unused', detail, status }))
}

export function events(response: ServerResponse, ...all: string[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(all.map(event => `${event}\n\n`).join(''))
}
