import { createServer, type Server } from 'node:net'
import type { Releasers } from '@sc/shared/releasers.ts'
import type { App } from './app-deps.ts'

/** One HTTP server on several addresses, of one port. */
export interface Listening {
  port: number
  /** From now on listens on these. The first address never changes. Rejects when it cannot: then on those of before. */
  moveTo(hosts: string[]): Promise<void>
}

export async function listen(app: App, hosts: string[], wanted: number, releasers: Releasers): Promise<Listening> {
  const [first] = hosts as [string, ...string[]]
  await app.listen({ host: first, port: wanted })
  releasers.add('http', () => app.close())
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('the HTTP server has no port')
  const { port } = address
  const doors = new Map<string, Server>()
  releasers.add('http on other addresses', () => {
    for (const door of doors.values()) door.close()
  })

  async function moveTo(hosts: string[]): Promise<void> {
    const wanted = hosts.filter(host => host !== first)
    for (const host of wanted) if (!doors.has(host)) doors.set(host, await open(host))
    for (const [host, door] of doors) {
      if (wanted.includes(host)) continue
      door.close()
      doors.delete(host)
    }
  }

  function open(host: string): Promise<Server> {
    const { promise, resolve, reject } = Promise.withResolvers<Server>()
    // What comes in is handed to the one server, with its limits.
    const door = createServer({ noDelay: true }, socket => void app.server.emit('connection', socket))
    door.once('error', reject)
    door.listen({ host, port }, () => {
      door.off('error', reject)
      resolve(door)
    })
    return promise
  }

  await moveTo(hosts)
  return { port, moveTo }
}
