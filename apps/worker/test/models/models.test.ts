import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { takeLock } from '../../src/lock-file.ts'
import { type Models, openModels } from '../../src/models/models.ts'
import { unit } from '../fixtures/open-cluster.ts'

/** A master that has one model, and sends it as the test says. */
const FILES: Record<string, Buffer> = { 'config.json': Buffer.from('{}'), 'model.bin': randomBytes(400_000) }
const asked: string[] = []
let answer: (file: string, bytes: Buffer) => { bytes: Buffer; cutAfter?: number } = (_, bytes) => ({ bytes })
const server = createServer((request, response) => {
  const range = request.headers.range
  asked.push(`${request.url}${range ? ` ${range}` : ''}`)
  const [, , , name, file = ''] = (request.url ?? '').split('/')
  const known = { ...FILES, 'manifest.json': manifest() }[file]
  if (name !== 'tiny' || !known || request.headers.authorization !== 'Bearer secret')
    return void response.writeHead(404).end()
  const { bytes, cutAfter } = answer(file, known)
  const from = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
  const headers: Record<string, string> = { 'content-length': `${bytes.length - from}` }
  if (from > 0) headers['content-range'] = `bytes ${from}-${bytes.length - 1}/${bytes.length}`
  response.writeHead(from > 0 ? 206 : 200, headers)
  if (cutAfter === undefined) response.end(bytes.subarray(from))
  else response.write(bytes.subarray(from, cutAfter), () => setTimeout(() => response.destroy(), 20))
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

function manifest(): Buffer {
  const files = Object.entries(FILES).map(([file, bytes]) => {
    return { file, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  })
  return Buffer.from(JSON.stringify({ name: 'tiny', files }))
}

let modelsDir: string
const lines: string[] = []
let changes: number
const never = new AbortController().signal
const needs = (model: string, task = 'transcribe.chunk') => unit('u', task, { model })
beforeEach(() => {
  modelsDir = join(mkdtempSync(join(tmpdir(), 'sc-models-')), 'models')
  asked.length = 0
  answer = (_, bytes) => ({ bytes })
  lines.length = 0
  changes = 0
})

function open(): Models {
  const log = createLog('test', 'debug', { write: line => void lines.push(line) })
  const source = { httpUrl: async () => url, key: 'secret' }
  return openModels({ modelsDir, source, onChange: () => changes++, log, askAgainMs: 3_600_000 })
}

const downloads = () => asked.filter(line => line.includes('model.bin'))
function expectWhole(): void {
  expect(readdirSync(modelsDir)).toEqual(['tiny'])
  expect(readdirSync(join(modelsDir, 'tiny')).sort()).toEqual(['config.json', 'model.bin'])
  for (const [file, bytes] of Object.entries(FILES))
    expect(readFileSync(join(modelsDir, 'tiny', file)).equals(bytes)).toBe(true)
}

test('two slots that want the same model fetch it once', async () => {
  const models = open()
  await Promise.all([models.bring(needs('tiny'), never), models.bring(needs('tiny'), never)])
  expectWhole()
  await models.bring(needs('tiny'), never)
  expect(downloads()).toEqual(['/blobs/models/tiny/model.bin'])
  expect(changes).toBe(1)
  expect(lines.join('')).toContain('Fetching the model tiny from the master: 1 MB')
  expect(lines.join('')).toContain('The model tiny is here')
})

test('two workers of one machine fetch it once', async () => {
  const [one, other] = [open(), open()]
  mkdirSync(modelsDir)
  const release = takeLock(join(modelsDir, '.tiny.lock'))
  const both = [one, other].map(models => models.bring(needs('tiny'), never))
  // Both find it locked.
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(asked).toEqual([])
  if (typeof release === 'function') release()
  await Promise.all(both)
  expectWhole()
  expect(downloads()).toHaveLength(1)
})

test('goes on where the connection was cut', async () => {
  let cuts = 0
  answer = (file, bytes) => (file === 'model.bin' && cuts++ === 0 ? { bytes, cutAfter: 150_000 } : { bytes })
  await open().bring(needs('tiny'), never)
  expectWhole()
  expect(downloads()[0]).toBe('/blobs/models/tiny/model.bin')
  expect(downloads()[1]).toMatch(/ bytes=[1-9]\d*-$/)
})

test('goes on after a restart of the worker', async () => {
  answer = (file, bytes) => (file === 'model.bin' ? { bytes, cutAfter: 150_000 } : { bytes })
  const before = open()
  const brought = before.bring(needs('tiny'), never)
  await expect.poll(() => existsSync(join(modelsDir, '.tiny.part', 'model.bin.part'))).toBe(true)
  await expect.poll(() => readFileSync(join(modelsDir, '.tiny.part', 'model.bin.part')).length).toBe(150_000)
  await before.close()
  await brought
  expect(readdirSync(modelsDir)).toEqual(['.tiny.part'])
  asked.length = 0
  answer = (_, bytes) => ({ bytes })
  await open().bring(needs('tiny'), never)
  expectWhole()
  expect(asked).toEqual(['/blobs/models/tiny/manifest.json', '/blobs/models/tiny/model.bin bytes=150000-'])
})

test('fetches what came damaged anew', async () => {
  let sent = 0
  answer = (file, bytes) => ({ bytes: file === 'model.bin' && sent++ === 0 ? randomBytes(bytes.length) : bytes })
  await open().bring(needs('tiny'), never)
  expectWhole()
  expect(downloads()).toHaveLength(2)
  expect(lines.join('')).toContain('model.bin of the model tiny came with another checksum')
})

test('a model that stays damaged is not there, and not fetched for each unit', async () => {
  answer = (file, bytes) => ({ bytes: file === 'model.bin' ? randomBytes(bytes.length) : bytes })
  const models = open()
  await models.bring(needs('tiny'), never)
  await models.bring(needs('tiny'), never)
  expect(downloads()).toHaveLength(2)
  expect(existsSync(join(modelsDir, 'tiny'))).toBe(false)
  expect(lines.join('')).toContain('model.bin came damaged 2 times')
})

test('takes nothing of an older file of that name', async () => {
  mkdirSync(join(modelsDir, '.tiny.part'), { recursive: true })
  writeFileSync(join(modelsDir, '.tiny.part', 'model.bin.part'), randomBytes(500_000))
  writeFileSync(join(modelsDir, '.tiny.part', 'config.json'), '[]')
  await open().bring(needs('tiny'), never)
  expectWhole()
})

test('leaves to the Python process what the master does not have, and asks once', async () => {
  const models = open()
  await models.bring(needs('large'), never)
  await models.bring(needs('large'), never)
  expect(asked).toEqual(['/blobs/models/large/manifest.json'])
  expect(readdirSync(modelsDir)).toEqual([])
})

test('asks nothing for a model of a user’s task, of the hub, or that is here', async () => {
  mkdirSync(join(modelsDir, 'own'), { recursive: true })
  writeFileSync(join(modelsDir, 'own', 'model.bin'), '')
  const models = open()
  await models.bring(needs('tiny', 'my-task'), never)
  await models.bring(needs('owner/name'), never)
  await models.bring(needs('../tiny'), never)
  await models.bring(needs('own'), never)
  await models.bring(unit('u', 'transcribe.detect', {}), never)
  expect(asked).toEqual([])
})

test('a unit that is cancelled waits no longer, and the others get the model', async () => {
  const models = open()
  const cancel = new AbortController()
  const first = models.bring(needs('tiny'), cancel.signal)
  const second = models.bring(needs('tiny'), never)
  cancel.abort()
  await expect(first).rejects.toThrow()
  await second
  expectWhole()
})
