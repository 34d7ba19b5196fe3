import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from '../../src/quickstart/free-port.ts'

test('a port that is taken is replaced, a free one is kept', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const other = await freePort('127.0.0.1', port)
  expect(other).not.toBe(port)
  expect(other).toBeGreaterThan(0)
  server.close()
  await once(server, 'close')
  expect(await freePort('127.0.0.1', port)).toBe(port)
})
