import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readServerSentEvents, type ServerSentEvent } from '../../src/follow/server-sent-events.ts'

async function read(...parts: Uint8Array[]): Promise<ServerSentEvent[]> {
  const body = (async function* () {
    yield* parts
  })()
  const events: ServerSentEvent[] = []
  for await (const event of readServerSentEvents(body)) events.push(event)
  return events
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('reads names, data of several lines and ids', async () => {
  const events = await read(bytes('retry: 1000\n\nevent: progress\ndata: {"a":1,\ndata: "b":2}\nid: 3.1\n\n'))
  expect(events).toEqual([{ event: 'progress', data: '{"a":1,\n"b":2}', lastEventId: '3.1' }])
})

test('an id holds until the next one, an event without a name is a message, a comment is nothing', async () => {
  const events = await read(bytes('id: 1\ndata:one\n\n: still here\n\nevent: status\ndata:  two\n\n'))
  expect(events).toEqual([
    { event: 'message', data: 'one', lastEventId: '1' },
    // Only the first space after the colon goes.
    { event: 'status', data: ' two', lastEventId: '1' }
  ])
})

test('an event that the end of the stream cuts off is dropped', async () => {
  expect(await read(bytes('data: whole\n\ndata: cut'))).toHaveLength(1)
  expect(await read(bytes('data: whole\n\ndata: cut\n'))).toHaveLength(1)
})

test('the cuts between pieces of the stream change nothing, with any line ends', async () => {
  const text = 'id: 7\nevent: segment\ndata: Grüße, 你好 🎧\ndata: \n\n: ping\n\ndata: b\n\n'
  const expected = await read(bytes(text))
  expect(expected.map(({ data }) => data)).toEqual(['Grüße, 你好 🎧\n', 'b'])
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('\n', '\r\n', '\r'), fc.array(fc.nat(120)), async (lineEnd, cuts) => {
      const all = bytes(text.replaceAll('\n', lineEnd))
      const places = [0, ...cuts.filter(cut => cut < all.length).sort((a, b) => a - b), all.length]
      const parts = places.slice(1).map((end, index) => all.subarray(places[index], end))
      // A CR at the very end may be half of a CRLF: the reader has to see one more byte.
      expect(await read(...parts, bytes(lineEnd === '\r' ? '\n:' : ''))).toEqual(expected)
    })
  )
})
