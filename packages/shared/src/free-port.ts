import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** `wanted` when nobody listens on it just now, else one that the system says is free. */
export async function freePort(wanted = 0, host = '127.0.0.1'): Promise<number> {
  const server = createServer()
  try {
    server.listen(wanted, host)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  } catch (error) {
    if (wanted === 0 || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return await freePort(0, host)
  } finally {
    await server[Symbol.asyncDispose]()
  }
}
