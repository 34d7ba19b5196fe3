/**
 * DESIGN: a slow link as a userspace TCP proxy on loopback, so that benches need no rights. All connections through one
 * link share its two directions, each of them a queue:
 *
 *   socket --read--> cut into pieces --> queue of the direction --at its time--> other socket
 *
 * A piece is sent when the one before it is (bytes / rate later), and arrives `delayMs` after that. Both are moments
 * computed ahead, not timers added up, so the rate is kept however late a timer comes. Of one connection at most
 * WINDOW_BYTES are under way in a direction; then its socket is not read, so that its sender waits as it does for a full
 * window of TCP. The end of a side is a piece of no bytes and travels the same way: what was sent before it arrives
 * before it, and the other direction stays open. A new connection is read one round trip later, as long as TCP takes to
 * open it. Not modelled: lost packets, and the slow start of TCP.
 */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface LinkSpeed {
  /** Of a byte, one way. */
  delayMs: number
  /** Of each direction. */
  bitsPerSecond: number
}

export interface SlowLink {
  /** Opens a port of this machine behind which, over the link, is `port`; the new port. */
  to(port: number): Promise<number>
  close(): void
}

const WINDOW_BYTES = 256 * 1024
const PIECE_BYTES = 4 * 1024

export function createSlowLink(speed: LinkSpeed): SlowLink {
  const [up, down] = [createDirection(speed), createDirection(speed)]
  const servers = new Set<Server>()
  const sockets = new Set<Socket>()

  function track(socket: Socket): Socket {
    sockets.add(socket.setNoDelay())
    socket.once('close', () => sockets.delete(socket))
    // What broke is told by the close that follows.
    socket.on('error', () => {})
    return socket
  }

  function open(client: Socket, port: number): void {
    const server = track(connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
    track(client)
    down.carry(server, client)
    const opening = setTimeout(() => {
      client.off('close', giveUp)
      up.carry(client, server)
    }, 2 * speed.delayMs)
    function giveUp(): void {
      clearTimeout(opening)
      server.destroy()
    }
    client.once('close', giveUp)
  }

  return {
    to: async port => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, client => open(client, port))
      servers.add(server)
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as { port: number }).port
    },
    close: () => {
      for (const server of servers) server.close()
      for (const socket of sockets) socket.destroy()
      up.stop()
      down.stop()
    }
  }
}

interface Piece {
  arrivesMs: number
  arrive(): void
}

interface Direction {
  /** Everything that comes from one socket, and its end, to the other. */
  carry(from: Socket, to: Socket): void
  stop(): void
}

function createDirection({ delayMs, bitsPerSecond }: LinkSpeed): Direction {
  const bytesPerMs = bitsPerSecond / 8 / 1_000
  const queue: Piece[] = []
  let sentUntilMs = 0
  let timer: NodeJS.Timeout | undefined

  function send(bytes: number, arrive: () => void): void {
    sentUntilMs = Math.max(sentUntilMs, performance.now()) + bytes / bytesPerMs
    queue.push({ arrivesMs: sentUntilMs + delayMs, arrive })
    timer ??= setTimeout(deliver, delayMs)
  }

  function deliver(): void {
    timer = undefined
    for (let first = queue[0]; first && first.arrivesMs <= performance.now(); first = queue[0]) {
      queue.shift()
      first.arrive()
    }
    const [next] = queue
    if (next) timer = setTimeout(deliver, Math.max(0, next.arrivesMs - performance.now()))
  }

  return {
    carry: (from, to) => {
      let underWay = 0

      function arrived(bytes: number): void {
        underWay -= bytes
        if (underWay < WINDOW_BYTES && !from.destroyed) from.resume()
      }

      from.on('data', (data: Buffer) => {
        for (let at = 0; at < data.length; at += PIECE_BYTES) {
          const piece = data.subarray(at, at + PIECE_BYTES)
          underWay += piece.length
          // Until the other side has taken it, it fills the window.
          send(piece.length, () => {
            if (to.writable) to.write(piece, () => arrived(piece.length))
            else arrived(piece.length)
          })
        }
        if (underWay >= WINDOW_BYTES) from.pause()
      })
      from.once('end', () => send(0, () => to.end()))
      from.once('close', hadError => send(0, () => (hadError ? to.resetAndDestroy() : to.destroySoon())))
      from.resume()
    },
    stop: () => {
      clearTimeout(timer)
      queue.length = 0
    }
  }
}
