import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobs } from '../src/blobs/open-blobs.ts'
import type { BlobStore } from '../src/blobs/store.ts'
import { startAzurite } from './azurite.ts'

const folder = mkdtempSync(join(tmpdir(), 'sc-blobs-'))
const root = join(folder, 'blobs')
let azurite: Awaited<ReturnType<typeof startAzurite>>
const stores = new Map<string, BlobStore>()

beforeAll(async () => {
  azurite = await startAzurite()
  stores.set('folder', await openBlobs({ azureConnectionString: undefined, folder: root }))
  stores.set('azure', await openBlobs({ azureConnectionString: azurite.connectionString, folder: root }))
}, 60_000)
afterAll(async () => {
  await azurite?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const read = async (store: BlobStore, key: string, range?: { start?: number; end?: number }) =>
  buffer(await store.get(key, range))

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('the first half')
  throw new Error('the client went away')
}

describe.each(['folder', 'azure'])('%s', kind => {
  const using = () => stores.get(kind) as BlobStore

  test('gives back what was put, whole and in part', async () => {
    const bytes = randomBytes(10 * 1024 * 1024 + 7)
    const parts = [bytes.subarray(0, 1), bytes.subarray(1, 9_000_000), bytes.subarray(9_000_000)]
    expect(await using().put('files/a/x.wav', Readable.from(parts))).toBe(bytes.length)
    expect(await using().size('files/a/x.wav')).toBe(bytes.length)
    expect((await read(using(), 'files/a/x.wav')).equals(bytes)).toBe(true)
    expect(
      (await read(using(), 'files/a/x.wav', { start: 5, end: 4_194_310 })).equals(bytes.subarray(5, 4_194_310))
    ).toBe(true)
    expect((await read(using(), 'files/a/x.wav', { start: bytes.length - 3 })).equals(bytes.subarray(-3))).toBe(true)
    expect(await read(using(), 'files/a/x.wav', { start: bytes.length + 5 })).toHaveLength(0)
    expect(await read(using(), 'files/a/x.wav', { start: 3, end: 3 })).toHaveLength(0)
  })

  test('a second put replaces the first, also with nothing', async () => {
    await using().put('files/b/one', Buffer.from('long old text'))
    await using().put('files/b/one', Buffer.from('new'))
    expect((await read(using(), 'files/b/one')).toString()).toBe('new')
    expect(await using().put('files/b/one', Readable.from([]))).toBe(0)
    expect(await read(using(), 'files/b/one')).toHaveLength(0)
  })

  test('a body that fails or is aborted leaves what was there', async () => {
    await using().put('files/c/kept', Buffer.from('old'))
    await expect(using().put('files/c/kept', failing())).rejects.toThrow('the client went away')
    await expect(using().put('files/c/new', failing())).rejects.toThrow('the client went away')
    const aborted = AbortSignal.abort()
    await expect(
      using().put('files/c/new', Readable.from([Buffer.from('x')]), { signal: aborted })
    ).rejects.toMatchObject({
      code: 'SC_CANCELLED'
    })
    expect((await read(using(), 'files/c/kept')).toString()).toBe('old')
    await expect(using().size('files/c/new')).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
  })

  test('a local file is taken over', async () => {
    const path = join(folder, `upload-${kind}`)
    writeFileSync(path, 'recorded')
    expect(await using().putFile('files/d/up.mp3', path)).toBe(8)
    expect((await read(using(), 'files/d/up.mp3')).toString()).toBe('recorded')
    expect(existsSync(path)).toBe(false)
  })

  test('what is not there is SC_NOT_FOUND, and removing it is no error', async () => {
    const missing = { code: 'SC_NOT_FOUND' }
    await expect(using().get('files/none')).rejects.toMatchObject(missing)
    await expect(using().get('files/none', { start: 2, end: 2 })).rejects.toMatchObject(missing)
    await expect(using().size('files/none')).rejects.toMatchObject(missing)
    await using().remove('files/none')
    await using().removePrefix('files/none')
  })

  test('removing takes one blob, removing a prefix all below it and no other', async () => {
    for (const key of ['jobs/1/a', 'jobs/1/deep/b', 'jobs/10/a']) await using().put(key, Buffer.from(key))
    await using().remove('jobs/1/a')
    await expect(using().size('jobs/1/a')).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
    expect(await using().size('jobs/1/deep/b')).toBe(13)
    await using().removePrefix('jobs/1')
    await expect(using().size('jobs/1/deep/b')).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
    expect(await using().size('jobs/10/a')).toBe(9)
  })

  test.each([
    '',
    '/',
    '../x',
    'a/../b',
    'a//b',
    '/a',
    'a/',
    '.hidden',
    'a/.incoming',
    'a\\b',
    'a\0b',
    'a b',
    'é',
    'a'.repeat(600)
  ])('the key %j is refused everywhere', async key => {
    const refused = { code: 'SC_NOT_FOUND' }
    const calls = [
      () => using().put(key, Buffer.from('x')),
      () => using().putFile(key, '/nowhere'),
      () => using().get(key),
      () => using().size(key),
      () => using().remove(key),
      () => using().removePrefix(key)
    ]
    for (const call of calls) await expect((async () => call())()).rejects.toMatchObject(refused)
  })

  test('check passes while blobs can be stored', async () => {
    await using().check()
  })
})

test('the folder keeps files private, leaves nothing behind, and does not follow links out', async () => {
  const store = stores.get('folder') as BlobStore
  await store.put('files/e/x', Buffer.from('x'))
  expect(statSync(join(root, 'files/e/x')).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(root, '.incoming'))).toEqual([])
  symlinkSync('/etc/hostname', join(root, 'files/e/link'))
  mkdirSync(join(root, 'files/e/folder'))
  await expect(store.get('files/e/link')).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
  await expect(store.get('files/e/folder')).rejects.toMatchObject({ code: 'SC_NOT_FOUND' })
})

test('what a killed process left half written is gone at the next start, what is being written now is not', async () => {
  const old = join(root, '.incoming/old')
  writeFileSync(old, 'half')
  writeFileSync(join(root, '.incoming/fresh'), 'half')
  utimesSync(old, 0, 0)
  await openBlobs({ azureConnectionString: undefined, folder: root })
  expect(readdirSync(join(root, '.incoming'))).toEqual(['fresh'])
})

test('an Azure that is away is SC_UNAVAILABLE, a wrong key SC_CONFIG', async () => {
  const wrongKey = azurite.connectionString.replace(/AccountKey=[^;]+/, 'AccountKey=d3Jvbmc=')
  await expect(openBlobs({ azureConnectionString: wrongKey, folder: root })).rejects.toMatchObject({
    code: 'SC_CONFIG'
  })
  const nobody = azurite.connectionString.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:9')
  await expect(openBlobs({ azureConnectionString: nobody, folder: root })).rejects.toMatchObject({
    code: 'SC_UNAVAILABLE'
  })
}, 30_000)
