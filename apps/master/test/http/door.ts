import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A way to a server that can be shut, as a network does: open connections break, new ones are refused. */
export async function createDoor(url: string) {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    const other = connect(Number(target.port), target.hostname)
    for (const one of [socket, other]) {
      sockets.add(one)
      one.on('error', () => {})
      one.once('close', () => sockets.delete(one))
    }
    socket.pipe(other).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const behind = new URL(url)
  behind.host = `127.0.0.1:${port}`
  return {
    url: behind.href,
    shut: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
    open: async () => {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    }
  }
}
