import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { modelManifestSchema } from '@sc/shared/models.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { registerTasks } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
const WEIGHTS = randomBytes(100_000)
const FILES = { 'config.json': Buffer.from('{}'), 'model.bin': WEIGHTS, 'vocabulary.txt': Buffer.from('a\nb\n') }

beforeAll(async () => {
  one = await startApp()
  write('tiny', FILES)
  write('unfinished', { 'config.json': FILES['config.json'] })
  write('.hidden', FILES)
  write('tiny/.cache', { 'x.txt': Buffer.from('x') })
  writeFileSync(join(folder(), 'tiny', '.secret'), 'no')
  writeFileSync(join(folder(), 'loose.bin'), 'no')
  symlinkSync(join(one.servers.root, 'admin.key'), join(folder(), 'link'))
  await registerTasks(one, 'desk', [], { models: [{ name: 'tiny', sizeBytes: 100_006 }] })
  await registerTasks(one, 'attic', [], { models: [{ name: 'base', sizeBytes: 5 }], offline: true })
})
afterAll(() => one.release())

const folder = () => one.deps.config.modelsDir
function write(name: string, files: Record<string, Buffer>): void {
  mkdirSync(join(folder(), name), { recursive: true })
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(folder(), name, file), bytes)
}
const read = (key: string, headers = {}, scope: 'worker' | 'admin' = 'worker') =>
  one.app.inject({ url: `/blobs/${key}`, headers: { ...one.bearer(scope), ...headers } })
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

it('gives a model to a worker, file by file, as its manifest says', async () => {
  const manifest = modelManifestSchema.parse((await read('models/tiny/manifest.json')).json())
  expect(manifest.files).toHaveLength(3)
  for (const { file, sizeBytes, sha256: sum } of manifest.files) {
    const { rawPayload } = await read(`models/tiny/${file}`)
    expect([file, rawPayload.length, sha256(rawPayload)]).toEqual([file, sizeBytes, sum])
    expect(rawPayload.equals(FILES[file as keyof typeof FILES])).toBe(true)
  }
  const rest = await read('models/tiny/model.bin', { range: 'bytes=99990-' })
  expect([rest.statusCode, rest.headers['content-range']]).toEqual([206, 'bytes 99990-99999/100000'])
  expect(rest.rawPayload.equals(WEIGHTS.subarray(99_990))).toBe(true)
  expect((await read('models/manifest.json')).json()).toEqual({ models: [{ name: 'tiny', sizeBytes: 100_006 }] })
})

it('says the sum of the file as it is now', async () => {
  write('changing', { 'model.bin': Buffer.from('one') })
  const sum = async () => (await read('models/changing/manifest.json')).json().files[0].sha256
  expect(await sum()).toBe(sha256(Buffer.from('one')))
  write('changing', { 'model.bin': Buffer.from('other') })
  expect(await sum()).toBe(sha256(Buffer.from('other')))
})

it('gives nothing else of the disk, and nothing to who is no worker', async () => {
  for (const key of [
    'models/tiny/.secret',
    'models/tiny/.cache/x.txt',
    'models/.hidden/model.bin',
    'models/unfinished/manifest.json',
    'models/unfinished/config.json',
    'models/loose.bin',
    'models/link',
    'models/tiny/../../admin.key',
    'models/..%2fadmin.key',
    'models/%2e%2e/admin.key',
    'models/tiny/model.bin/x',
    'models/none/manifest.json',
    'models/tiny/',
    'models/tiny',
    'models/',
    'models'
  ])
    expect((await read(key)).statusCode, key).toBe(404)
  expect((await read('models/tiny/model.bin', {}, 'admin')).statusCode).toBe(403)
})

it('says which node has which', async () => {
  const list = async () => (await one.app.inject({ url: '/api/models', headers: one.bearer('read') })).json()
  await expect.poll(async () => (await list()).items.length).toBe(3)
  const { items } = await list()
  const master = { id: 'master', name: hostname(), type: 'master', status: 'online' }
  expect(items).toEqual([
    { name: 'base', sizeBytes: 5, nodes: [{ id: 'attic', name: 'attic', type: 'worker', status: 'offline' }] },
    { name: 'changing', sizeBytes: 5, nodes: [master] },
    {
      name: 'tiny',
      sizeBytes: 100_006,
      nodes: [master, { id: 'desk', name: 'desk', type: 'worker', status: 'online' }]
    }
  ])
})
