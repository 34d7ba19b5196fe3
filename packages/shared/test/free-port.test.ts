import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from '../src/free-port.ts'

test('a port that is taken is replaced, a free one is kept', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const other = await freePort(port)
  expect(other).not.toBe(port)
  expect(other).toBeGreaterThan(0)
  server.close()
  await once(server, 'close')
  expect(await freePort(port)).toBe(port)
})

test('what is wrong with the host is told', async () => {
  await expect(freePort(0, '203.0.113.1')).rejects.toThrow('EADDRNOTAVAIL')
})
