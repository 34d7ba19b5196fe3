import { once } from 'node:events'
import { createServer } from 'node:net'

/** `port` when nobody listens on it, else one that the system says is free. */
export async function freePort(host: string, port: number): Promise<number> {
  return (await tryPort(host, port)) ?? (await tryPort(host, 0)) ?? port
}

/** Undefined: taken. */
async function tryPort(host: string, port: number): Promise<number | undefined> {
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    const address = server.address()
    return typeof address === 'object' ? address?.port : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
    throw error
  } finally {
    server.close()
  }
}
