import { chmodSync, cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'

/** In a folder of its own, where `npx` and Node do nothing. */
const root = mkdtempSync(join(tmpdir(), 'sc-packages-'))
cpSync(join(import.meta.dirname, '..'), join(root, 'bootstrap'), { recursive: true })
for (const file of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'node_modules/.modules.yaml'])
  write(file, '{}')
for (const folder of ['apps', 'packages']) mkdirSync(join(root, folder))
for (const file of ['bin/npx', 'node_modules/node/bin/node']) chmodSync(write(file, '#!/bin/sh\n'), 0o755)

function write(file: string, text = ''): string {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), text)
  return join(root, file)
}
afterEach(() => vi.unstubAllEnvs())

test("a worker's packages are not all packages, and all packages are a worker's too", async () => {
  vi.stubEnv('PATH', `${join(root, 'bin')}${delimiter}${process.env.PATH}`)
  const { nodePackages } = await import(join(root, 'bootstrap/node-packages.mjs'))
  const [all, ofWorker] = [nodePackages({ worker: false }), nodePackages({ worker: true })]
  const areCurrent = () => [all.isCurrent(), ofWorker.isCurrent()]
  expect(areCurrent()).toEqual([false, false])
  await ofWorker.run({ say: () => {} })
  expect(areCurrent()).toEqual([false, true])
  await all.run({ say: () => {} })
  expect(areCurrent()).toEqual([true, true])
})
