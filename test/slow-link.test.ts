import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { proveLink } from '../bench/link/prove-link.ts'
import { createSlowLink, type LinkSpeed, type SlowLink } from '../bench/link/slow-link.ts'

// Nothing here takes long: one that hangs is to be seen at once.
vi.setConfig({ testTimeout: 20_000 })

const open: Array<{ close(): void }> = []
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

const FAST: LinkSpeed = { delayMs: 2, bitsPerSecond: 400e6 }

function linkOf(speed: LinkSpeed): SlowLink {
  const link = createSlowLink(speed)
  open.push(link)
  return link
}

async function serve(handle: (socket: Socket) => void): Promise<Server & { port: number }> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(server)
  return Object.assign(server, { port: (server.address() as { port: number }).port })
}

async function connectTo(port: number, allowHalfOpen = true): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

/** With or without an error before it. */
function closed(socket: Socket | undefined): Promise<unknown> {
  return new Promise(resolve => socket?.once('close', resolve))
}

async function hashOf(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  for await (const data of socket) hash.update(data as Buffer)
  return hash.digest('hex')
}

test('a byte takes the delay there and back, and a stream has the rate of the link', async () => {
  const { roundTripsMs, megabitsPerSecond } = await proveLink(linkOf({ delayMs: 25, bitsPerSecond: 20e6 }))
  for (const ms of roundTripsMs) expect(ms).toBeGreaterThanOrEqual(50)
  expect(Math.min(...roundTripsMs)).toBeLessThan(100)
  for (const rate of megabitsPerSecond) {
    expect(rate).toBeLessThan(20.5)
    expect(rate).toBeGreaterThan(8)
  }
})

test('connections share the rate of a direction, and the other direction has its own', async () => {
  const link = linkOf({ delayMs: 5, bitsPerSecond: 20e6 })
  const bytes = 500_000
  const { port } = await serve(socket => socket.end(Buffer.alloc(bytes)))
  const sink = await serve(socket => socket.resume().once('end', () => socket.end()))
  const startMs = performance.now()
  const took = async (done: Promise<unknown>) => {
    await done
    return performance.now() - startMs
  }
  const [downPort, upPort] = [await link.to(port), await link.to(sink.port)]
  const both = [await connectTo(downPort), await connectTo(downPort)]
  const up = await connectTo(upPort)
  up.end(Buffer.alloc(bytes))
  up.resume()
  const [first = 0, second = 0, upMs] = await Promise.all([
    ...both.map(socket => took(hashOf(socket))),
    took(closed(up))
  ])
  // 1 MB at 2.5 MB/s; alone either would have taken 200 ms.
  expect(Math.max(first, second)).toBeGreaterThanOrEqual(400)
  expect(upMs).toBeLessThan(Math.max(first, second))
})

test('no byte is lost or out of its order, in both directions at once', async () => {
  const link = linkOf(FAST)
  const { port } = await serve(socket => socket.pipe(socket))
  const through = await link.to(port)
  await Promise.all(
    [1, 2, 3].map(async () => {
      const data = randomBytes(3_000_000)
      const socket = await connectTo(through)
      const answer = hashOf(socket)
      for (let at = 0; at < data.length; at += 70_001) socket.write(data.subarray(at, at + 70_001))
      socket.end()
      expect(await answer).toBe(createHash('sha256').update(data).digest('hex'))
    })
  )
})

test('a side that has ended still hears the other', async () => {
  const { port } = await serve(socket => {
    socket.resume().once('end', () => socket.end('all of it'))
  })
  const socket = await connectTo(await linkOf(FAST).to(port))
  socket.end('a question')
  const answer = (await socket.toArray()).join('')
  expect(answer).toBe('all of it')
})

test('a sender waits for a receiver that does not read', async () => {
  const sockets: Socket[] = []
  const { port } = await serve(socket => void sockets.push(socket.pause()))
  const socket = await connectTo(await linkOf(FAST).to(port))
  const data = Buffer.alloc(40 * 1024 ** 2)
  socket.write(data)
  socket.end()
  await expect.poll(() => sockets.length).toBe(1)
  const seen: number[] = []
  await expect
    .poll(() => {
      seen.push(socket.bytesWritten - socket.writableLength)
      return seen.length > 20 && seen.at(-1) === seen.at(-20)
    })
    .toBe(true)
  expect(socket.writableLength).toBeGreaterThan(0)
  let received = 0
  for await (const part of sockets[0] as Socket) received += (part as Buffer).length
  expect(received).toBe(data.length)
  socket.destroy()
})

test('a connection that breaks on one side ends on the other', async () => {
  const sockets: Socket[] = []
  const { port } = await serve(socket => void sockets.push(socket.resume()))
  const through = await linkOf(FAST).to(port)
  for (const breaks of ['client', 'server']) {
    const client = (await connectTo(through)).resume()
    client.write('x')
    await expect.poll(() => sockets.length).toBe(1)
    const server = sockets.pop() as Socket
    const [broken, other] = breaks === 'client' ? [client, server] : [server, client]
    const gone = closed(other)
    broken.resetAndDestroy()
    await gone
  }
})

test('a link that is closed ends its connections', async () => {
  const { port } = await serve(() => {})
  const link = linkOf(FAST)
  const client = await connectTo(await link.to(port), false)
  const gone = closed(client.resume())
  link.close()
  await gone
})

test('a connection to a server that is not there ends', async () => {
  const away = await serve(() => {})
  await new Promise(resolve => away.close(resolve))
  const client = await connectTo(await linkOf(FAST).to(away.port), false)
  await closed(client.resume())
})
