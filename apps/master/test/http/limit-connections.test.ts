import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { createLog } from '@sc/shared/log.ts'
import { afterEach, expect, test, vi } from 'vitest'
import { createServer as createHttp } from '../../src/http/create-server.ts'
import { limitConnections } from '../../src/http/limit-connections.ts'
import { startApp } from './start-app.ts'

const LOOPBACK = '127.0.0.1'
const other = Object.values(networkInterfaces())
  .flat()
  .find(address => address?.family === 'IPv4' && !address.internal)?.address
const opened: Array<{ destroy(): void } | Server> = []

afterEach(() => {
  for (const one of opened.splice(0)) 'destroy' in one ? one.destroy() : one.close()
})

async function listen(limits: { most: number; mostOfAddress: number }): Promise<number> {
  const server = createServer((_, response) => response.end('ok'))
  limitConnections(server, limits)
  opened.push(server)
  await once(server.listen(0, '0.0.0.0'), 'listening')
  return (server.address() as AddressInfo).port
}

/** Opens so many, and answers those that stay open. */
async function open(host: string, port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, host).on('error', () => {}))
  opened.push(...sockets)
  await Promise.all(sockets.map(socket => once(socket, 'connect').catch(() => {})))
  await new Promise(resolve => setTimeout(resolve, 200))
  return sockets.filter(socket => !socket.readableEnded && !socket.destroyed && !socket.closed)
}

test('no more connections are open than the limit, and each that ends makes room', async () => {
  const port = await listen({ most: 5, mostOfAddress: 3 })
  const [first] = await open(LOOPBACK, port, 5)
  expect(await open(LOOPBACK, port, 2)).toHaveLength(0)
  await expect(fetch(`http://${LOOPBACK}:${port}`)).rejects.toThrow()
  first?.destroy()
  await vi.waitFor(async () => expect((await fetch(`http://${LOOPBACK}:${port}`)).status).toBe(200))
})

test.skipIf(other === undefined)('one address has no more than its share, and leaves the others theirs', async () => {
  const port = await listen({ most: 8, mostOfAddress: 3 })
  expect(await open(other as string, port, 6)).toHaveLength(3)
  expect(await open(LOOPBACK, port, 4)).toHaveLength(4)
})

test('a connection without a request is closed', async () => {
  const app = createHttp({ log: createLog('test', 'error') })
  await app.listen({ host: LOOPBACK, port: 0 })
  try {
    const [socket] = await open(LOOPBACK, (app.server.address() as AddressInfo).port, 1)
    socket?.resume()
    await once(socket as Socket, 'end')
  } finally {
    await app.close()
  }
})

test.skipIf(other === undefined)(
  'an address that floods the master is not answered for a while; others are',
  async () => {
    const started = await startApp()
    try {
      await started.app.listen({ host: '0.0.0.0', port: 0 })
      const { port } = started.app.server.address() as AddressInfo
      const ask = (host: string, headers = {}) =>
        fetch(`http://${host}:${port}/healthz`, { headers }).then(
          ({ status }) => status,
          () => 'closed'
        )
      expect(await ask(other as string)).toBe(200)
      const socket = connect(port, other as string).on('error', () => {})
      opened.push(socket)
      let answers = ''
      socket.setEncoding('utf8').on('data', text => {
        answers += text
      })
      socket.write('GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n'.repeat(2_000))
      await once(socket, 'close')
      expect(answers).toContain('HTTP/1.1 429')
      expect(answers.match(/HTTP\/1.1 /g)?.length).toBeLessThan(1_500)
      expect(await open(other as string, port, 1)).toHaveLength(0)
      expect(await ask(LOOPBACK)).toBe(200)
      await vi.waitFor(async () => expect(await open(other as string, port, 1)).toHaveLength(1), 10_000)
      expect(await ask(other as string)).toBe(200)
      // Whose key is good may ask as often as it likes.
      const list = () => fetch(`http://${other}:${port}/api/jobs`, { headers: started.bearer('read') })
      for (let n = 0; n < 300; n++) expect((await list()).status).toBe(200)
    } finally {
      await started.release()
    }
  }
)
