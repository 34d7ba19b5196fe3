import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createKey } from '../../src/http/key-rows.ts'
import { form, tone } from './recordings.ts'
import { startApp, type TestApp } from './start-app.ts'

/** The looks of ffmpeg at uploads, of which each costs what its file makes it cost. */

let one: TestApp
let address = ''
let dir = ''
beforeAll(async () => {
  one = await startApp()
  address = await one.listen()
})
afterAll(() => one.release())

/** Each notes how many there are as it starts, and goes on when there is a file `go`; it may write no file. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sc-probes-'))
  const path = join(dir, 'ffmpeg')
  const script = `cd ${dir}
mkdir running-$$ && mkdir started-$$-$(ls -d running-* | wc -l)
while [ ! -e go ]; do sleep 0.05; done
rmdir running-$$
printf 1234
`
  await writeFile(path, `#!/bin/sh\n${script}`)
  await chmod(path, 0o755)
  one.deps.ffmpegPath = path
  return () => rm(dir, { recursive: true, force: true })
})

const go = () => writeFile(join(dir, 'go'), '')
const counts = async () =>
  (await readdir(dir))
    .filter(name => name.startsWith('started'))
    .map(name => Number(name.split('-')[2]))
    .sort()
const newKey = async () => (await createKey(one.deps.db, { name: 'one more', scopes: ['submit'] })).key

/** Uploads that have arrived whole. */
async function arrived(): Promise<number> {
  const files = await readdir(one.dir.spool, { recursive: true })
  return files.filter(path => path.includes('/')).length
}

async function upload(key: string, signal?: AbortSignal): Promise<number> {
  const { body, headers } = form(['file', { fileName: 'talk.wav', bytes: tone(1) }])
  const answer = await fetch(`${address}/transcribe`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, ...headers },
    body: new Uint8Array(body),
    ...(signal && { signal })
  })
  return answer.status
}

it('are two at once, of two keys', async () => {
  const [a, b, c] = [await newKey(), await newKey(), await newKey()]
  const ofA = [upload(a), upload(a), upload(a)]
  await expect.poll(arrived).toBe(3)
  await expect.poll(counts).toEqual([1])
  const others = [upload(b), upload(c)]
  await expect.poll(arrived).toBe(5)
  await expect.poll(counts).toEqual([1, 2])
  await go()
  expect(await Promise.all([...ofA, ...others])).toEqual([202, 202, 202, 202, 202])
  const all = await counts()
  expect(all).toHaveLength(5)
  expect(Math.max(...all)).toBe(2)
})

it('are given up with their clients, one that waits and one under way', async () => {
  const key = await newKey()
  const gone = new AbortController()
  const [running, waiting] = [upload(key, gone.signal), upload(key, gone.signal)]
  const refused = Promise.allSettled([running, waiting])
  await expect.poll(arrived).toBe(2)
  await expect.poll(counts).toHaveLength(1)
  gone.abort()
  expect((await refused).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await expect.poll(arrived).toBe(0)
  const next = upload(key)
  await expect.poll(counts).toHaveLength(2)
  await go()
  expect(await next).toBe(202)
})
