import { createServer, type Server } from 'node:net'
import type { Releasers } from '@sc/shared/releasers.ts'
import type { App } from './app-deps.ts'

/** One HTTP server on several addresses, of one port. Answers the port. */
export async function listen(app: App, hosts: string[], port: number, releasers: Releasers): Promise<number> {
  const [first, ...more] = hosts as [string, ...string[]]
  await app.listen({ host: first, port })
  releasers.add('http', () => app.close())
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('the HTTP server has no port')
  for (const host of more) {
    // What comes in is handed to the one server, with its limits.
    const door = createServer({ noDelay: true }, socket => void app.server.emit('connection', socket))
    await listening(door, host, address.port)
    releasers.add(`http on ${host}`, () => void door.close())
  }
  return address.port
}

function listening(door: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  door.once('error', reject)
  door.listen({ host, port }, () => {
    door.off('error', reject)
    resolve()
  })
  return promise
}
