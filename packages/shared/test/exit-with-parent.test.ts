import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'

const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))
const started: ChildProcess[] = []

function start(name: string): ChildProcess {
  const child = spawn(process.execPath, [fixture(name)], { stdio: 'pipe' })
  started.push(child)
  return child
}

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

test('a child drains, as on SIGTERM, when the pipe to it closes', async () => {
  const child = start('child-of-parent.ts')
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  child.stdin?.end()
  const [code] = await once(child, 'exit')
  expect(code).toBe(7)
})

test('a child ends by itself after kill -9 of its parent', async () => {
  const parent = start('parent-of-child.ts')
  await once(parent.stdout as NodeJS.ReadableStream, 'data')
  parent.stderr?.resume()
  parent.kill('SIGKILL')
  // The child holds this end too; without the flag it would keep it for a minute, far beyond the test's limit.
  await once(parent.stderr as NodeJS.ReadableStream, 'close')
})
