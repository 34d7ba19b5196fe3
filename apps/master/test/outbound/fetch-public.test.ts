import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { fetchPublic } from '../../src/outbound/fetch-public.ts'
import { isPublicAddress, refuseUrl } from '../../src/outbound/public-address.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})

async function serve(answer: RequestListener): Promise<{ port: number }> {
  const server = createServer(answer)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server.address() as { port: number }
}

/** Names lead to this machine, which counts as public. */
const here = { lookup: async () => ['127.0.0.1'], allows: (address: string) => address === '127.0.0.1' }

describe('which addresses are of the open internet', () => {
  it.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '[2a00:1450::1]'])(
    '%s is',
    address => {
      expect(isPublicAddress(address)).toBe(true)
    }
  )

  it.each([
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '100.127.255.255', '127.0.0.1', '169.254.169.254', '172.16.0.1'],
    ...['192.168.1.1', '198.18.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', '::ffff:8.8.8.8', '::ffff:127.0.0.1'],
    ...['fe80::1', 'fe80::1%eth0', 'fd7a:115c:a1e0::1', 'fc00::1', 'ff02::1', '64:ff9b::7f00:1', '2002:7f00:1::'],
    ...['2001:db8::1', '2001::1', 'example.org', '']
  ])('%s is not', address => {
    expect(isPublicAddress(address)).toBe(false)
  })

  it.each([
    ...[
      'http://2130706433/',
      'http://0x7f.1/',
      'http://127.1/',
      'http://[::1]/',
      'http://localhost/',
      'http://a.localhost./'
    ],
    ...['ftp://example.org/', 'file:///etc/passwd', 'http://user:secret@example.org/']
  ])('%s is refused before anything is asked', address => {
    expect(refuseUrl(new URL(address))).not.toBeNull()
  })

  it('a name is not refused before it is resolved', () => {
    expect(refuseUrl(new URL('https://example.org/hook'))).toBeNull()
  })
})

describe('a call on behalf of a client', () => {
  it.each([
    ['http://127.0.0.1:9/', undefined],
    ['http://[::ffff:127.0.0.1]:9/', undefined],
    ['http://rebound.example/', ['127.0.0.1']],
    ['http://both.example/', ['93.184.216.34', '10.0.0.1']],
    ['http://none.example/', []]
  ])('is not made to %s', async (address, resolved) => {
    const call = fetchPublic(address, resolved ? { lookup: async () => resolved } : {})
    await expect(call).rejects.toMatchObject({ code: 'SC_BAD_REQUEST' })
  })

  it('goes to the address that was checked, under its own name', async () => {
    const { port } = await serve((request, response) => response.end(`${request.method} ${request.headers.host}`))
    const answer = await fetchPublic(`http://hook.example:${port}/`, here)
    expect(answer).toEqual({ status: 200, body: `GET hook.example:${port}` })
  })

  it('goes to another address of the name where one leads nowhere', async () => {
    const { port } = await serve((_, response) => response.end('here'))
    const answer = await fetchPublic(`http://hook.example:${port}/`, {
      lookup: async () => ['::1', '127.0.0.2', '127.0.0.1'],
      allows: () => true
    })
    expect(answer.body).toBe('here')
  })

  it('says why none of several addresses took it', async () => {
    const { port } = await serve(() => {})
    const [server] = servers.splice(0)
    await new Promise(resolve => server?.close(resolve))
    const call = fetchPublic(`http://hook.example:${port}/`, {
      lookup: async () => ['127.0.0.2', '127.0.0.1'],
      allows: () => true
    })
    await expect(call).rejects.toThrow(
      /hook\.example:\d+ failed: connect E\w+ 127\.0\.0\.2:\d+; connect ECONNREFUSED 127\.0\.0\.1:/
    )
  })

  it('follows a few redirects, and none into the house', async () => {
    const { port } = await serve((request, response) => {
      const left = Number(request.url?.slice(1))
      if (request.url === '/home') response.writeHead(302, { location: 'http://192.168.0.1/' })
      else if (left > 0) response.writeHead(302, { location: `/${left - 1}` })
      response.end('here')
    })
    const at = (path: string) => fetchPublic(`http://hook.example:${port}${path}`, here)
    expect(await at('/3')).toEqual({ status: 200, body: 'here' })
    await expect(at('/4')).rejects.toMatchObject({ code: 'SC_UNAVAILABLE' })
    await expect(at('/home')).rejects.toMatchObject({ code: 'SC_BAD_REQUEST', message: /192\.168\.0\.1/ })
  })

  it('does not wait for ever, and reads no endless answer', async () => {
    const silent = await serve(() => {})
    const slow = fetchPublic(`http://hook.example:${silent.port}/`, { ...here, timeoutMs: 100 })
    await expect(slow).rejects.toMatchObject({ code: 'SC_UNAVAILABLE', message: /no answer in time/ })
    const lookup = fetchPublic('http://hook.example/', { ...here, lookup: () => new Promise(() => {}), timeoutMs: 100 })
    await expect(lookup).rejects.toMatchObject({ code: 'SC_UNAVAILABLE' })
    const endless = await serve((_request, response) => {
      const write = () => response.write('x'.repeat(10_000))
      const timer = setInterval(write, 1)
      response.once('close', () => clearInterval(timer))
    })
    expect((await fetchPublic(`http://hook.example:${endless.port}/`, here)).body).toHaveLength(64 * 1024)
  })

  it('ends with its signal', async () => {
    const { port } = await serve(() => {})
    const stop = new AbortController()
    const call = fetchPublic(`http://hook.example:${port}/`, { ...here, signal: stop.signal })
    stop.abort()
    await expect(call).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  })
})
