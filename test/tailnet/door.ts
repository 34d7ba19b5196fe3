import { connect, createServer } from 'node:net'

/** `door.ts SOCKET HOST PORT`, run on a machine of the tailnet: a unix socket, which no namespace confines, into it. */
const [socket, host, port] = process.argv.slice(2)

createServer(client => {
  const server = connect(Number(port), host)
  for (const end of [client, server]) end.on('error', () => {})
  client.once('close', () => server.destroy())
  server.once('close', () => client.destroy())
  client.pipe(server).pipe(client)
}).listen(socket)
