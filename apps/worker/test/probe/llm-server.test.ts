import type { ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { llmServerAnswers, versionUrl, watchLlmServer } from '../../src/probe/llm-server.ts'
import { type LlmServer, startLlmServer } from '../fixtures/llm-server.ts'

let server: LlmServer | undefined
afterEach(() => server?.stop())

test.each([
  ['', 'http://127.0.0.1:11434/api/version'],
  [':8080', 'http://127.0.0.1:8080/api/version'],
  ['box', 'http://box:11434/api/version'],
  ['box:8080', 'http://box:8080/api/version'],
  ['0.0.0.0', 'http://127.0.0.1:11434/api/version'],
  ['::1', 'http://[::1]:11434/api/version'],
  ['[::1]', 'http://[::1]:11434/api/version'],
  ['[::1]:8080', 'http://[::1]:8080/api/version'],
  ['::', 'http://127.0.0.1:11434/api/version'],
  ['https://llm.example', 'https://llm.example/api/version'],
  ['http://box:8080/', 'http://box:8080/api/version']
])('OLLAMA_HOST=%s is asked at %s', (host, url) => {
  expect(versionUrl(host)?.href).toBe(url)
})

test.each(['a b', 'ftp://box', 'box:port'])('OLLAMA_HOST=%s is no address', async host => {
  expect(versionUrl(host)).toBeNull()
  expect(await llmServerAnswers(host)).toBe(false)
})

test('a server that tells its version is there, until it is stopped', async () => {
  server = await startLlmServer()
  expect(await llmServerAnswers(server.host)).toBe(true)
  await server.stop()
  expect(await llmServerAnswers(server.host)).toBe(false)
})

test.each([
  ['says nothing', () => {}],
  ['goes on for ever', (_: unknown, response: { write(text: string): void }) => response.write('{"version":"')],
  ['refuses', (_: unknown, response: ServerResponse) => response.writeHead(403).write('{"version":"1"}')],
  ['is another one', (_: unknown, response: { end(text: string): void }) => response.end('<html>')],
  ['has no version', (_: unknown, response: { end(text: string): void }) => response.end('null')]
])('a server that %s is none', async (_, answer) => {
  server = await startLlmServer(answer)
  expect(await llmServerAnswers(server.host)).toBe(false)
})

test('it is gone only after three looks in a row without an answer, and back at once', async () => {
  const answers = [true, false, false, true, false, false, false, false, true]
  const watch = watchLlmServer(async () => answers.shift() ?? false)
  const seen: Array<[boolean, boolean]> = []
  while (answers.length > 0) seen.push([await watch.look(), watch.isThere()])
  const changes = seen.flatMap(([changed, isThere], at) => (changed ? [[at, isThere]] : []))
  expect(changes).toEqual([
    [0, true],
    [6, false],
    [8, true]
  ])
})
