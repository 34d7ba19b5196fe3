/** Uploads that are small enough each, and too much together. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { appendFile, readdir, rm, statfs } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createDiskReserve, LEAST_FREE_BYTES } from '../../src/cluster/disk-reserve.ts'
import { wavHeader } from './recordings.ts'
import { startApp, type TestApp } from './start-app.ts'

const MiB = 1024 ** 2
const FILE_BYTES = 200 * MiB

/** A disk of 1.3 GB, where this user may make one. */
const canMount =
  process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('/bin/mount', ['--version']).status === 0
const small = mkdtempSync(join(tmpdir(), 'sc-disk-'))
const isMounted = canMount && spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=1300m', 'none', small]).status === 0
afterAll(() => {
  if (isMounted) spawnSync('/bin/umount', [small])
  rmSync(small, { recursive: true, force: true })
})

const freeBytes = async (folder: string) => {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

describe.runIf(isMounted)('five uploads at once onto a disk of 1.3 GB', () => {
  let one: TestApp
  let url = ''
  beforeAll(async () => {
    one = await startApp({ dataDir: small })
    url = `${await one.listen()}/transcribe`
  })
  afterAll(() => one?.release())
  afterEach(async () => {
    await one.deps.db.deleteFrom('jobs').execute()
    await one.deps.blobs.removePrefix('files')
  })

  /** In pieces, so that nobody knows how much it will be; each with a file of its own. */
  async function send(nth: number): Promise<{ status: number; code: string | undefined }> {
    const piece = Buffer.alloc(MiB, nth)
    function* pieces() {
      yield Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="long.wav"\r\n\r\n')
      yield wavHeader(FILE_BYTES)
      for (let left = FILE_BYTES; left > 0; left -= MiB) yield piece
      yield Buffer.from('\r\n--b--\r\n')
    }
    const headers = { ...one.bearer('submit'), 'content-type': 'multipart/form-data; boundary=b' }
    const body = ReadableStream.from(pieces())
    const answer = await fetch(url, { method: 'POST', headers, body, duplex: 'half' } as RequestInit)
    return { status: answer.status, code: ((await answer.json()) as { code?: string }).code }
  }

  it('leave it its reserve: what has room is kept, the rest is 507 and leaves nothing behind', async () => {
    let least = Number.POSITIVE_INFINITY
    const watching = setInterval(async () => {
      least = Math.min(least, await freeBytes(small))
    }, 5)
    const answers = await Promise.all([1, 2, 3, 4, 5].map(send)).finally(() => clearInterval(watching))
    expect(least).toBeGreaterThanOrEqual(LEAST_FREE_BYTES)
    const accepted = answers.filter(({ status }) => status === 202)
    const refused = answers.filter(({ status }) => status !== 202)
    // 788 MB: room for three, of which one or two may make way for each other.
    expect(accepted.length).toBeGreaterThan(0)
    expect(refused.length).toBeGreaterThan(0)
    for (const answer of refused) expect(answer).toMatchObject({ status: 507, code: 'SC_DISK_FULL' })
    expect(await readdir(one.dir.spool)).toEqual([])
    expect(await readdir(join(one.dir.blobs, 'files'))).toHaveLength(accepted.length)
    expect(await one.deps.db.selectFrom('jobs').select('id').execute()).toHaveLength(accepted.length)
    expect((await send(6)).status).toBe(accepted.length < 3 ? 202 : 507)
  }, 120_000)

  it('uploads that announce much and send nothing keep nobody out', async () => {
    const headers = { ...one.bearer('submit'), 'content-type': 'multipart/form-data; boundary=b' }
    const hanging = Array.from({ length: 10 }, () => {
      const call = request(url, { method: 'POST', headers: { ...headers, 'content-length': String(400 * MiB) } })
      call.on('error', () => {})
      call.write('--b\r\n')
      return call
    })
    await expect.poll(async () => (await readdir(one.dir.spool)).length).toBe(10)
    expect(await send(7)).toMatchObject({ status: 202 })
    for (const call of hanging) call.destroy()
    await expect.poll(async () => await readdir(one.dir.spool)).toEqual([])
  }, 60_000)

  it('who lacks room while another gives back what it took waits for that', async () => {
    const [disk, path] = [createDiskReserve(small, (await freeBytes(small)) - 80 * MiB), join(small, 'of-the-first')]
    const [first, second] = [await disk.claim(0), await disk.claim(0)]
    for (let total = 4; total <= 32; total += 4) {
      await first.willHave(total * MiB)
      await appendFile(path, Buffer.alloc(4 * MiB))
    }
    // 48 are left, of which the second holds 16 and the first 8 that may not be seen yet.
    await expect(first.willHave(64 * MiB)).rejects.toMatchObject({ code: 'SC_DISK_FULL' })
    const granted = second.willHave(60 * MiB)?.then(() => 'granted')
    expect(await Promise.race([granted, setTimeout(100, 'waits')])).toBe('waits')
    await rm(path)
    first.release()
    expect(await granted).toBe('granted')
    await expect(second.willHave(200 * MiB)).rejects.toMatchObject({ code: 'SC_DISK_FULL' })
    second.release()
  })
})
