import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { SlowLink } from './slow-link.ts'

/** What a link really does, measured through it. */
export interface ProvenLink {
  /** Of one byte and back. */
  roundTripsMs: number[]
  /** Of one connection that sends all it can. */
  megabitsPerSecond: number[]
}

const ROUND_TRIPS = 10
const RUNS = 3
const BYTES = 4 * 1024 ** 2

export async function proveLink(link: SlowLink): Promise<ProvenLink> {
  const roundTripsMs = await measureRoundTrips(link)
  const megabitsPerSecond: number[] = []
  for (let run = 0; run < RUNS; run++) megabitsPerSecond.push(await measureRate(link))
  return { roundTripsMs, megabitsPerSecond }
}

async function measureRoundTrips(link: SlowLink): Promise<number[]> {
  const echo = createServer(socket => socket.setNoDelay().pipe(socket))
  const socket = await connectThrough(link, echo)
  const times: number[] = []
  // The first waits for the connection to be opened.
  socket.write('x')
  await once(socket, 'data')
  for (let n = 0; n < ROUND_TRIPS; n++) {
    const startMs = performance.now()
    socket.write('x')
    await once(socket, 'data')
    times.push(performance.now() - startMs)
  }
  socket.destroy()
  echo.close()
  return times
}

/** From the first byte that arrives to the last. */
async function measureRate(link: SlowLink): Promise<number> {
  const source = createServer(socket => socket.end(Buffer.alloc(BYTES)))
  const socket = await connectThrough(link, source)
  let [firstMs, received] = [0, 0]
  for await (const data of socket) {
    if (received === 0) firstMs = performance.now()
    received += (data as Buffer).length
  }
  source.close()
  return (received * 8) / 1_000 / (performance.now() - firstMs)
}

async function connectThrough(link: SlowLink, server: ReturnType<typeof createServer>) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect(await link.to((server.address() as { port: number }).port), '127.0.0.1').setNoDelay()
  await once(socket, 'connect')
  return socket
}
