import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

export interface Received {
  path: string
  headers: Record<string, string>
  /** As it came. */
  body: string
}

export interface Receiver {
  port: number
  /** Where webhooks go that it is to get; see `here`. */
  url(path?: string): string
  /** Also what it did not answer. */
  received: Received[]
  /** Null: it takes connections and never answers. Default: 200. */
  answer(status: number | null, headers?: Record<string, string>): void
  /** Nothing listens there. */
  shut(): Promise<void>
  open(): Promise<void>
}

/** As a receiver does that knows the secret: throws for what was not signed by it; the body. */
export function verify(secret: string, { body, headers }: Received): unknown {
  return new Webhook(secret).verify(body, headers)
}

/** Names lead to this machine, which counts as public. */
export const here = { lookup: async () => ['127.0.0.1'], allows: (address: string) => address === '127.0.0.1' }

/** A real receiver of webhooks. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = []
  let status: number | null = 200
  let answered: Record<string, string> = {}
  const onRequest: RequestListener = async (request, response) => {
    const body = await text(request)
    received.push({ path: request.url ?? '', headers: request.headers as Record<string, string>, body })
    if (status !== null) response.writeHead(status, answered).end()
  }
  const server = createServer(onRequest)
  let port = 0
  const open = async (): Promise<void> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as { port: number }).port
  }
  await open()
  return {
    port,
    url: (path = '/hook') => `http://hook.example:${port}${path}`,
    received,
    answer: (next, headers = {}) => {
      status = next
      answered = headers
    },
    shut: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
    open
  }
}
