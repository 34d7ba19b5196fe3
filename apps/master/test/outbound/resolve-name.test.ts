import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { resolveName } from '../../src/outbound/resolve-name.ts'

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close()
})

/** A name server; `answer` undefined: it is silent. */
async function serveNames(answer?: (question: Buffer) => Buffer): Promise<string> {
  const socket = createSocket('udp4')
  sockets.push(socket)
  socket.on('message', (question, from) => {
    if (answer) socket.send(answer(question), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return `127.0.0.1:${socket.address().port}`
}

const A = 1
/** One address for A, and no record of another type. */
function oneAddress(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5
  const isA = question.readUInt16BE(end - 4) === A
  const header = Buffer.from(question.subarray(0, 12))
  header.writeUInt16BE(0x8180, 2)
  header.writeUInt16BE(isA ? 1 : 0, 6)
  header.writeUInt32BE(0, 8)
  // The name of the question; type, class, seconds, length, address.
  const record = Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34])
  return Buffer.concat([header, question.subarray(12, end), ...(isA ? [record] : [])])
}

test('a name has the addresses that its server says', async () => {
  const server = await serveNames(oneAddress)
  expect(await resolveName('hook.example.org', new AbortController().signal, [server])).toEqual(['93.184.216.34'])
})

test('names whose servers are silent end with their deadline, and hold up no other name', async () => {
  const silent = await serveNames()
  const stop = new AbortController()
  // More than libuv has threads.
  const asked = Array.from({ length: 8 }, (_, at) => resolveName(`a${at}.example.org`, stop.signal, [silent]))
  const ended = Promise.allSettled(asked)
  expect(await lookup('localhost')).toMatchObject({ address: expect.any(String) })
  const server = await serveNames(oneAddress)
  expect(await resolveName('hook.example.org', stop.signal, [server])).toHaveLength(1)
  stop.abort()
  expect((await ended).map(({ status }) => status)).toEqual(Array(8).fill('rejected'))
})
