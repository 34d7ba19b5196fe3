import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { endWhenUnread } from '../../src/http/disconnect.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { startApp, type TestApp } from './start-app.ts'

/** What a worker's key can make the master hold by asking for blobs. */

const WAIT = { timeout: 15_000, interval: 100 }
const MOST_EACH = 16
let one: TestApp
let base: URL
const sockets: Socket[] = []

beforeAll(async () => {
  one = await startApp()
  const folder = join(one.deps.config.modelsDir, 'large')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'model.bin'), '')
  // More than sockets take without a reader.
  truncateSync(join(folder, 'model.bin'), 64 * 1024 ** 2)
  base = new URL(await one.app.listen({ host: '127.0.0.1', port: 0 }))
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => one.release())

/** A worker with a key of its own. */
async function worker(): Promise<{ id: string; keyId: string; key: string }> {
  const id = `w-${randomUUID()}`
  const { db } = one.deps
  await db.insertInto('workers').values({ id, name: id, hostname: 'desk' }).execute()
  const { keyId, key } = await createKey(db, { name: id, scopes: ['worker'] })
  await db.updateTable('api_keys').set({ worker_id: id }).where('id', '=', keyId).execute()
  return { id, keyId, key }
}

const ask = (key: string) =>
  fetch(new URL('/blobs/models/large/model.bin', base), {
    headers: { authorization: `Bearer ${key}`, range: 'bytes=0-9' }
  })

/** Asks for the whole model, and reads the first bytes of it alone. */
async function silent(key: string): Promise<Socket> {
  const socket = connect(Number(base.port), base.hostname)
  sockets.push(socket)
  socket.on('error', () => {})
  socket.write(
    `GET /blobs/models/large/model.bin HTTP/1.1\r\nHost: ${base.host}\r\nAuthorization: Bearer ${key}\r\n\r\n`
  )
  await once(socket, 'data')
  socket.pause()
  return socket
}

it(`gives one key ${MOST_EACH} blobs at once, says when to try again, and others theirs`, async () => {
  const { key } = await worker()
  const open: Socket[] = []
  for (let n = 0; n < MOST_EACH; n++) open.push(await silent(key))
  const refused = await ask(key)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '2'])
  expect(await refused.json()).toMatchObject({ code: 'SC_RATE_LIMITED' })
  expect((await ask((await worker()).key)).status).toBe(206)
  open[0]?.destroy()
  await expect.poll(async () => (await ask(key)).status, WAIT).toBe(206)
  // What was answered is not counted any more.
  for (let n = 0; n < 3 * MOST_EACH; n++) await (await ask(key)).arrayBuffer()
})

it.each(['quarantined', 'revoked'] as const)(
  'a stream ends when its worker is %s, and its key is refused',
  async how => {
    const { id, keyId, key } = await worker()
    const socket = await silent(key)
    const at = sql<Date>`now()`
    if (how === 'revoked')
      await one.deps.db.updateTable('api_keys').set({ revoked_at: at }).where('id', '=', keyId).execute()
    else await one.deps.db.updateTable('workers').set({ quarantined_at: at }).where('id', '=', id).execute()
    const refused = await ask(key)
    expect(refused.status).toBe(how === 'revoked' ? 401 : 403)
    if (how === 'quarantined')
      expect(await refused.json()).toMatchObject({ code: 'SC_REVOKED', detail: expect.stringContaining('quarantined') })
    const connections = () =>
      new Promise<number>((resolve, reject) =>
        one.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
      )
    one.app.server.closeIdleConnections()
    await expect.poll(connections, WAIT).toBe(0)
    socket.destroy()
  },
  20_000
)

it('an answer that nobody reads is given up, and one that is read slowly is not', async () => {
  const unreadMs = 400
  const server = createServer((_request, response) => {
    endWhenUnread(response, unreadMs)
    response.write(Buffer.alloc(64 * 1024 ** 2))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const open = () => {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    return socket
  }
  const [unread, slow] = [open(), open()]
  const reading = setInterval(() => {
    slow.read(1024 ** 2)
  }, 50)
  const count = () => new Promise<number>(resolve => server.getConnections((_error, n) => resolve(n)))
  await expect.poll(count, WAIT).toBe(1)
  await new Promise(resolve => setTimeout(resolve, 2 * unreadMs))
  expect(await count()).toBe(1)
  expect(slow.destroyed).toBe(false)
  clearInterval(reading)
  for (const socket of [unread, slow]) socket.destroy()
  server.close()
})
