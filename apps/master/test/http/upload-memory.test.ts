import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { wavHeader } from './recordings.ts'
import { startApp, type TestApp } from './start-app.ts'

const MiB = 1024 ** 2
const FILE_BYTES = 200 * MiB
/** The target of 1 GiB; what is held does not depend on the size. */
const MAX_GROWTH_BYTES = 64 * MiB

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

it('an upload of 200 MiB passes through 64 MiB of memory', async () => {
  const child = spawn(
    process.execPath,
    [new URL('./api-process.ts', import.meta.url).pathname, JSON.stringify(one.servers)],
    {
      stdio: ['pipe', 'pipe', 'inherit']
    }
  )
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const readLine = async () => (await lines.next()).value as string
    const rss = async () => {
      child.stdin.write('\n')
      return Number(await readLine())
    }
    const address = await readLine()
    // The first one warms up what any first request needs.
    expect(await upload(address, one.keys.submit, MiB)).toBe(202)
    const before = await rss()
    let most = 0
    const watching = setInterval(() => void rss().then(bytes => (most = Math.max(most, bytes))), 50)
    const status = await upload(address, one.keys.submit, FILE_BYTES).finally(() => clearInterval(watching))
    most = Math.max(most, await rss())
    expect(status).toBe(202)
    expect(most - before).toBeLessThan(MAX_GROWTH_BYTES)
  } finally {
    child.stdin.end()
    await once(child, 'exit')
  }
}, 120_000)

async function upload(address: string, key: string, fileBytes: number): Promise<number> {
  const head = '--b\r\ncontent-disposition: form-data; name="file"; filename="long.wav"\r\n\r\n'
  function* body() {
    yield Buffer.from(head)
    yield wavHeader(fileBytes - 44)
    const silence = Buffer.alloc(MiB)
    for (let left = fileBytes - 44; left > 0; left -= MiB) yield silence.subarray(0, Math.min(left, MiB))
    yield Buffer.from('\r\n--b--\r\n')
  }
  const answer = await fetch(`${address}/transcribe`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=b' },
    body: Readable.toWeb(Readable.from(body())) as ReadableStream,
    duplex: 'half'
  })
  await answer.text()
  return answer.status
}
