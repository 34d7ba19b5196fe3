import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findFfmpeg } from '../src/ffmpeg-path.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sc-ffmpeg-path-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

async function program(path: string, script: string): Promise<string> {
  await mkdir(dirname(join(dir, path)), { recursive: true })
  await writeFile(join(dir, path), `#!/bin/sh\n${script}\n`)
  await chmod(join(dir, path), 0o755)
  return join(dir, path)
}

test('the first on the path that starts, then the one of the Python environment', async () => {
  await program('broken/ffmpeg', 'exit 1')
  const onPath = await program('bin/ffmpeg', 'exit 0')
  const packaged = await program('venv/lib/python3.11/site-packages/imageio_ffmpeg/binaries/ffmpeg-linux-v9', 'exit 0')
  const pythonEnv = join(dir, 'venv')
  const searchPath = ['nowhere', 'broken', 'bin'].map(name => join(dir, name)).join(':')
  expect(await findFfmpeg({ searchPath, pythonEnv })).toBe(onPath)
  expect(await findFfmpeg({ searchPath: join(dir, 'broken'), pythonEnv })).toBe(packaged)
})

test('none is an error of the configuration that says what to do', async () => {
  const found = findFfmpeg({ searchPath: join(dir, 'broken'), pythonEnv: join(dir, 'nowhere') })
  await expect(found).rejects.toMatchObject({
    code: 'SC_CONFIG',
    message: expect.stringContaining('npm run quickstart')
  })
})

test('the one of this machine is found', async () => {
  expect(await findFfmpeg()).toMatch(/ffmpeg/)
})
