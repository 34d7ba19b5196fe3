import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

/** Bodies of requests that are answered before all of them came, and bodies in pieces of a byte. */

let one: TestApp
let url: string
let port: number
beforeAll(async () => {
  one = await startApp({ maxUploadBytes: 1_000_000 })
  url = await one.listen()
  port = Number(new URL(url).port)
  await registerTasks(one, 'desk', [WORD_COUNT])
})
afterAll(() => one.release())

const opened: Socket[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

const BYTE = '1\r\nA\r\n'
const JSON_TYPE = 'content-type: application/json'
const FORM_TYPE = 'content-type: multipart/form-data; boundary=b'

/** Sends the head and then chunks without end, `bytesPerSecond` of them on the wire; what came back until the connection ended. */
async function sendWithoutEnd(
  line: string,
  headers: string[] = [],
  chunk = BYTE,
  bytesPerSecond = 3e6
): Promise<string> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  opened.push(socket)
  let answer = ''
  socket.setEncoding('utf8').on('data', text => {
    answer += text
  })
  const head = [`${line} HTTP/1.1`, 'host: 127.0.0.1', 'transfer-encoding: chunked']
  socket.write(`${[...head, ...headers].join('\r\n')}\r\n\r\n`)
  const block = Buffer.from(chunk.repeat(Math.ceil(20_000 / chunk.length)))
  const sinceMs = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    while (sent < (bytesPerSecond * (performance.now() - sinceMs)) / 1000 && socket.writableLength < 4e6) {
      socket.write(block)
      sent += block.length
    }
  }, 5)
  await new Promise(resolve => socket.once('close', resolve))
  clearInterval(timer)
  return answer
}

const bearer = (): string => `authorization: ${one.bearer('submit').authorization}`

describe('a body without end', () => {
  it.each<[string, string, () => string[], number]>([
    ['without a key', 'POST /api/jobs/retry', () => [], 401],
    ['with a wrong key', 'POST /transcribe', () => ['authorization: Bearer wrong'], 401],
    ['to where nothing is', 'POST /nothing', () => [], 401],
    ['to where nothing is, with a key', 'GET /nothing', () => [bearer()], 404],
    ['with a key that may not do it', 'POST /api/keys', () => [bearer()], 403],
    ['to a path that is none', 'POST /%zz', () => [], 400],
    ['where none belongs', 'GET /healthz', () => [], 200],
    ['with an expectation that nobody knows', 'POST /api/jobs/retry', () => ['expect: much'], 401],
    ['to the login', 'POST /login', () => [], 413],
    ['that is too large', 'POST /api/jobs/retry', () => [bearer()], 413]
  ])(
    '%s ends soon after its answer',
    async (_, line, headers, status) => {
      // Of pieces that count as none of a byte each.
      const answer = await sendWithoutEnd(line, [...headers(), JSON_TYPE], `400\r\n${'A'.repeat(1024)}\r\n`)
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(answer).toMatch(/^connection: close\r$/im)
    },
    8_000
  )

  it('and of a byte at a time holds up nobody, without a key as with one', async () => {
    const usedMs: number[] = []
    for (const headers of [[], [bearer()]]) {
      const before = process.threadCpuUsage()
      const answer = sendWithoutEnd('POST /transcribe', [...headers, FORM_TYPE])
      await Promise.race([answer, new Promise(resolve => setTimeout(resolve, 3_000))])
      const { user, system } = process.threadCpuUsage(before)
      usedMs.push((user + system) / 1000)
    }
    // In three seconds, with what sending takes.
    expect(Math.max(...usedMs)).toBeLessThan(1_000)
  }, 15_000)
})

describe('who is honest', () => {
  const POST = { method: 'POST', headers: { 'content-type': 'application/json' } }

  it('reads by fetch why a large upload was refused', async () => {
    const body = new FormData()
    body.set('file', new Blob([Buffer.alloc(20_000_000)]), 'a.wav')
    const refused = await fetch(`${url}/transcribe`, { method: 'POST', body })
    expect([refused.status, await refused.json()]).toMatchObject([401, { code: 'SC_UNAUTHENTICATED' }])
    const large = await fetch(`${url}/transcribe`, { method: 'POST', body, headers: one.bearer('submit') })
    expect([large.status, await large.json()]).toMatchObject([413, { code: 'SC_FILE_TOO_LARGE' }])
  })

  it.each([
    ['of a known length', []],
    ['of a length that it does not say', ['-H', 'transfer-encoding: chunked']]
  ])('reads by curl why a large upload was refused, %s', async (_, more) => {
    for (const [status, headers] of [
      [401, []],
      [413, ['-H', bearer()]]
    ] as const) {
      const curl = spawn('curl', ['-sS', ...headers, ...more, '-F', 'file=@-;filename=a.wav', `${url}/transcribe`])
      curl.stdin.on('error', () => {}).end(Buffer.alloc(20_000_000))
      let answer = ''
      curl.stdout.on('data', text => {
        answer += text
      })
      await once(curl, 'close')
      expect(JSON.parse(answer)).toMatchObject({ status })
    }
  })

  it('may send a body in many small pieces, and ask again on a connection whose request was refused', async () => {
    const text = JSON.stringify({ input: { text: 'x'.repeat(15_000) } })
    const body = ReadableStream.from(text.match(/.{1,3}/g)?.map(piece => Buffer.from(piece)) ?? [])
    const headers = { ...POST.headers, ...one.bearer('submit') }
    const sent = await fetch(`${url}/api/tasks/word-count`, { ...POST, headers, body, duplex: 'half' } as RequestInit)
    expect(sent.status).toBe(202)
    const socket = connect(port, '127.0.0.1')
    opened.push(socket)
    for (const _ of [1, 2]) {
      socket.write('POST /api/jobs/retry HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\n{}')
      const [answer] = (await once(socket, 'data')) as [Buffer]
      expect(`${answer}`).toMatch(/^HTTP\/1.1 401 .*^connection: keep-alive\r$/ims)
    }
  })
})
