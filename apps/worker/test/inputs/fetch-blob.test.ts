import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openBlobCache } from '../../src/inputs/blob-cache.ts'
import { fetchBlob } from '../../src/inputs/fetch-blob.ts'
import { fetchUnitFiles } from '../../src/inputs/unit-files.ts'
import { until } from '../fixtures/children.ts'

const never = new AbortController().signal
const folder = mkdtempSync(join(tmpdir(), 'sc-blobs-'))
const BLOB = randomBytes(300_000)
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

type Handler = (request: IncomingMessage, response: ServerResponse) => void

async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers a range as the master does. */
function sendRange(request: IncomingMessage, response: ServerResponse, breakAfterBytes?: number): void {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const headers: Record<string, string | number> = { 'content-length': BLOB.length - from }
  if (from > 0) headers['content-range'] = `bytes ${from}-${BLOB.length - 1}/${BLOB.length}`
  response.writeHead(from > 0 ? 206 : 200, headers)
  if (breakAfterBytes === undefined) response.end(BLOB.subarray(from))
  else response.write(BLOB.subarray(from, from + breakAfterBytes), () => setTimeout(() => response.destroy(), 20))
}

test('goes on by range where the connection broke, with the key', async () => {
  const asked: Array<string | undefined> = []
  const url = await serve((request, response) => {
    expect(request.url).toBe('/blobs/files/j%201/a%23b.wav')
    expect(request.headers.authorization).toBe('Bearer secret')
    asked.push(request.headers.range)
    sendRange(request, response, asked.length <= 2 ? 100_000 : undefined)
  })
  const path = join(folder, 'resumed')
  await fetchBlob({ httpUrl: async () => url, key: 'secret' }, 'files/j 1/a#b.wav', path, never)
  expect(readFileSync(path).equals(BLOB)).toBe(true)
  expect(asked).toEqual([undefined, 'bytes=100000-', 'bytes=200000-'])
})

test('starts over when the server does not answer with the range', async () => {
  let asked = 0
  const url = await serve((request, response) => {
    delete request.headers.range
    sendRange(request, response, asked++ === 0 ? 50_000 : undefined)
  })
  const path = join(folder, 'whole')
  await fetchBlob({ httpUrl: async () => url, key: 'k' }, 'b', path, never)
  expect(readFileSync(path).equals(BLOB)).toBe(true)
})

test('a redirect to the blob store does not carry the key', async () => {
  const store = await serve((request, response) => {
    expect(request.headers.authorization).toBeUndefined()
    sendRange(request, response)
  })
  const url = await serve((_request, response) => response.writeHead(302, { location: `${store}/sas?sig=x` }).end())
  const path = join(folder, 'redirected')
  await fetchBlob({ httpUrl: async () => url, key: 'k' }, 'b', path, never)
  expect(readFileSync(path).equals(BLOB)).toBe(true)
})

test('a blob that is not there is told at once', async () => {
  const url = await serve((_request, response) => response.writeHead(404).end())
  const fetched = fetchBlob({ httpUrl: async () => url, key: 'k' }, 'gone', join(folder, 'gone'), never)
  await expect(fetched).rejects.toMatchObject({ code: 'SC_INPUT_UNREADABLE', message: /gone.*404/ })
})

test('the cache downloads once for many, and drops what was not used longest', async () => {
  const downloads: string[] = []
  const url = await serve((request, response) => {
    downloads.push(request.url as string)
    sendRange(request, response)
  })
  const source = { httpUrl: async () => url, key: 'k' }
  const cache = await openBlobCache(join(folder, 'cache'), (...args) => fetchBlob(source, ...args), 700_000)
  const [a, again] = await Promise.all([cache.use('a', never), cache.use('a', never)])
  expect(again.path).toBe(a.path)
  const b = await cache.use('b', never)
  b.release()
  ;(await cache.use('c', never)).release()
  await until(() => !existsSync(b.path))
  expect(existsSync(a.path)).toBe(true)
  expect(downloads).toEqual(['/blobs/a', '/blobs/b', '/blobs/c'])
  await cache.close()
  expect(existsSync(a.path)).toBe(false)
})

test('a unit gets each of its blobs as a file', async () => {
  const url = await serve(sendRange)
  const source = { httpUrl: async () => url, key: 'k' }
  const cache = await openBlobCache(join(folder, 'unit'), (...args) => fetchBlob(source, ...args))
  const unit = { unitId: 'u', jobId: 'j', task: 't', index: 0, deadline: 1 }
  const files = await fetchUnitFiles(
    cache,
    { ...unit, inputRef: 'x/1.wav', params: { blobs: { probe: 'x/p.wav' } } },
    never
  )
  expect(Object.keys(files.paths).sort()).toEqual(['input', 'probe'])
  expect(files.paths.input).toMatch(/\.wav$/)
  files.release()
  await cache.close()
})

test('a large input is fetched by the ticket of its unit, and again where something else came', async () => {
  const asked: Array<string | undefined> = []
  const url = await serve((request, response) => {
    asked.push(request.url)
    if (asked.length === 1) response.end('something else')
    else sendRange(request, response)
  })
  const source = { httpUrl: async () => url, key: 'k' }
  const cache = await openBlobCache(join(folder, 'large'), (...args) => fetchBlob(source, ...args))
  const inputSha256 = createHash('sha256').update(BLOB).digest('hex')
  const unit = { unitId: 'j.t.0', ticket: 'abc', inputRef: null, params: { blobs: { other: 'x' } }, inputSha256 }
  await expect(fetchUnitFiles(cache, unit, never)).rejects.toMatchObject({ code: 'SC_INPUT_UNREADABLE' })
  const files = await fetchUnitFiles(cache, unit, never)
  expect(Object.keys(files.paths)).toEqual(['input'])
  expect(readFileSync(files.paths.input as string).equals(BLOB)).toBe(true)
  expect(asked).toEqual(['/blobs/inputs/j.t.0/abc', '/blobs/inputs/j.t.0/abc'])
  files.release()
  await cache.close()
})

test('waits while the master gives no more blobs at once, as long as it says', async () => {
  const askedMs: number[] = []
  const url = await serve((request, response) => {
    askedMs.push(performance.now())
    if (askedMs.length < 3) response.writeHead(429, { 'retry-after': '1' }).end('{}')
    else sendRange(request, response)
  })
  const path = join(folder, 'waited')
  await fetchBlob({ httpUrl: async () => url, key: 'k' }, 'b', path, never)
  expect(readFileSync(path).equals(BLOB)).toBe(true)
  const [first = 0, second = 0, third = 0] = askedMs
  expect(Math.min(second - first, third - second)).toBeGreaterThan(900)
})
